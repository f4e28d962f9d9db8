//! Outputs of a request: small ones in the answer's frame, large ones in the shared memory.
//!
//! A model is not trusted: it may claim a huge shape with no memory behind it (an expanded scalar), so sizes
//! are computed and compared before anything is copied.

use crate::arena::Window;
use crate::{Datatype, Failure, OUTPUTS_MAX, bytes_of};
use fieldmark_proto::v1::Tensor;

/// Outputs beyond this go to the shared memory while they fit.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Bytes kept free in an answer for names, shapes and field tags of one output.
const OVERHEAD_BYTES: usize = 512;
/// Bytes on the wire around each text, at most.
const AROUND_TEXT: usize = 8;

/// Takes the outputs of one request, in order.
#[derive(Debug)]
pub struct Outputs<'a> {
    tensors: Vec<Tensor>,
    window: Option<Window<'a>>,
    inline_left: usize,
}

impl<'a> Outputs<'a> {
    /// Outputs outside the shared memory together stay below `inline_bytes_max`. This is also how a runtime's
    /// own tests take outputs.
    #[must_use]
    pub fn inline(inline_bytes_max: usize) -> Self {
        Self {
            tensors: Vec::new(),
            window: None,
            inline_left: inline_bytes_max,
        }
    }

    /// Large outputs go to `window`, if there is one.
    pub(crate) fn shared(window: Option<Window<'a>>, inline_bytes_max: usize) -> Self {
        Self {
            window,
            ..Self::inline(inline_bytes_max)
        }
    }

    /// Adds numbers; `fill` writes exactly the bytes that `shape` takes.
    ///
    /// # Errors
    /// With the code `Output` if they do not fit; whatever `fill` answers.
    pub fn dense(
        &mut self,
        name: String,
        datatype: Datatype,
        shape: Vec<i64>,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.count(&name)?;
        let bytes = bytes_of(&shape, datatype.width())
            .ok_or_else(|| Failure::output(format!("output {name:?} has the impossible shape {shape:?}")))?;
        let mut tensor = Tensor {
            name,
            datatype: datatype.name().to_owned(),
            shape,
            ..Tensor::default()
        };
        if bytes > INLINE_BYTES_MAX
            && let Some((range, target)) = self.window.as_mut().and_then(|window| window.take(bytes))
        {
            fill(target)?;
            tensor.shared = vec![range];
        } else {
            self.reserve(&tensor, bytes)?;
            let mut data = vec![0; bytes];
            fill(&mut data)?;
            tensor.data = data.into();
        }
        self.tensors.push(tensor);
        Ok(())
    }

    /// Adds texts, in row-major order.
    ///
    /// # Errors
    /// With the code `Output` if they do not fit, or are not as many as the shape says.
    pub fn texts(&mut self, name: String, shape: Vec<i64>, texts: Vec<Vec<u8>>) -> Result<(), Failure> {
        self.count(&name)?;
        if bytes_of(&shape, 1) != Some(texts.len()) {
            return Err(Failure::output(format!(
                "output {name:?} has {} texts, which its shape {shape:?} does not explain",
                texts.len()
            )));
        }
        let tensor = Tensor {
            name,
            datatype: "BYTES".to_owned(),
            shape,
            ..Tensor::default()
        };
        self.reserve(&tensor, texts.iter().map(|text| text.len() + AROUND_TEXT).sum())?;
        self.tensors.push(Tensor {
            texts: texts.into_iter().map(Into::into).collect(),
            ..tensor
        });
        Ok(())
    }

    /// What was added.
    #[must_use]
    pub fn finish(self) -> Vec<Tensor> {
        self.tensors
    }

    fn count(&self, name: &str) -> Result<(), Failure> {
        if self.tensors.len() >= OUTPUTS_MAX || name.len() > OVERHEAD_BYTES / 2 {
            return Err(Failure::output(format!(
                "more than {OUTPUTS_MAX} outputs, or a name of more than {} bytes",
                OVERHEAD_BYTES / 2
            )));
        }
        Ok(())
    }

    fn reserve(&mut self, tensor: &Tensor, bytes: usize) -> Result<(), Failure> {
        let needed = bytes.saturating_add(OVERHEAD_BYTES);
        let left = self.inline_left.checked_sub(needed).ok_or_else(|| {
            let (name, shape, left) = (&tensor.name, &tensor.shape, self.inline_left);
            Failure::output(format!(
                "output {name:?} of shape {shape:?} takes {bytes} bytes and exceeds the {left} bytes left"
            ))
        })?;
        self.inline_left = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureCode;

    #[test]
    fn an_output_that_does_not_fit_is_refused_before_it_is_made() {
        for shape in [vec![1 << 40], vec![-1], vec![i64::MAX, i64::MAX]] {
            let failure = Outputs::inline(1 << 20)
                .dense("y".into(), Datatype::Fp32, shape, |_| unreachable!())
                .unwrap_err();
            assert_eq!(failure.code, FailureCode::Output);
        }
        assert!(
            Outputs::inline(514)
                .texts("y".into(), vec![1], vec![b"long".to_vec()])
                .is_err()
        );
        assert!(
            Outputs::inline(1 << 20)
                .texts("y".into(), vec![2], vec![vec![]])
                .is_err()
        );
    }

    #[test]
    fn outputs_keep_their_order_and_bytes() {
        let mut outputs = Outputs::inline(1 << 20);
        outputs
            .dense("a".into(), Datatype::Uint8, vec![2], |bytes| {
                bytes.copy_from_slice(&[1, 2]);
                Ok(())
            })
            .unwrap();
        outputs
            .texts("b".into(), vec![1], vec![b"text".to_vec()])
            .unwrap();
        let tensors = outputs.finish();
        assert_eq!(
            (tensors[0].data.as_ref(), tensors[1].texts[0].as_ref()),
            (&[1, 2][..], &b"text"[..])
        );
    }
}
