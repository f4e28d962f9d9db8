//! How messages are coded: as prost does it, but an inference is weighed before it is decoded.

use std::any::TypeId;
use std::marker::PhantomData;

use bytes::Buf as _;
use fieldmark_proto::walk::{Part, unfolded};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::proto::{InferParameter, InferTensorContents, ModelInferRequest, model_infer_request};
use crate::{Failure, Kind};

/// What every message may take once decoded.
const UNFOLDED_BYTES_MIN: usize = 16 << 20;
/// How many times its length a longer one may.
const UNFOLDED_FACTOR: usize = 4;

/// The codec of the service, which its generated code names.
#[derive(Debug, Clone)]
pub(super) struct Weighing<T, U>(ProstCodec<T, U>);

impl<T, U> Default for Weighing<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for Weighing<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = WeighingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        WeighingDecoder {
            decoder: self.0.decoder(),
            message: PhantomData,
        }
    }
}

/// Decodes what is not too heavy.
#[derive(Debug, Clone)]
pub(super) struct WeighingDecoder<U> {
    decoder: ProstDecoder<U>,
    message: PhantomData<U>,
}

impl<U: Message + Default + 'static> Decoder for WeighingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if TypeId::of::<U>() == TypeId::of::<ModelInferRequest>() {
            // A message lies in one piece.
            weigh(bytes.chunk())?;
        }
        self.decoder.decode(bytes)
    }
}

/// The messages of an inference.
#[derive(Debug, Clone, Copy)]
enum Inside {
    Request,
    Input,
    Output,
    Contents,
    Entry,
    Parameter,
}

fn part(inside: Inside, field: u32) -> Option<Part<Inside>> {
    use model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
    Some(match (inside, field) {
        (Inside::Request, 1..=3) | (Inside::Input, 1 | 2) | (Inside::Output | Inside::Entry, 1) => {
            Part::text()
        }
        (Inside::Request | Inside::Input, 4) | (Inside::Output, 2) => {
            Part::message::<(String, InferParameter)>(Inside::Entry)
        }
        (Inside::Request, 5) => Part::message::<InferInputTensor>(Inside::Input),
        (Inside::Request, 6) => Part::message::<InferRequestedOutputTensor>(Inside::Output),
        (Inside::Request, 7) | (Inside::Contents, 8) => Part::texts(),
        (Inside::Input, 3) | (Inside::Contents, 1..=7) => Part::numbers(),
        (Inside::Input, 5) => Part::message::<InferTensorContents>(Inside::Contents),
        (Inside::Entry, 2) => Part::message::<InferParameter>(Inside::Parameter),
        (Inside::Parameter, 3) => Part::text(),
        _ => return None,
    })
}

/// Refuses an inference that would take much more memory than it has bytes.
fn weigh(message: &[u8]) -> Result<(), Failure> {
    let weight = unfolded(message, Inside::Request, &part).map_err(Failure::invalid)?;
    let most = UNFOLDED_BYTES_MIN.max(message.len().saturating_mul(UNFOLDED_FACTOR));
    if weight > most {
        let message = format!(
            "the request of {} bytes would take {weight} bytes of memory; send tensors in raw_input_contents",
            message.len()
        );
        return Err(Failure::new(Kind::TooLarge, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_empty_tensors_is_refused_before_it_is_decoded() {
        let empty = [0x2a, 0].repeat(1 << 20);
        assert_eq!(weigh(&empty).unwrap_err().kind, Kind::TooLarge);
        assert_eq!(weigh(&[0x2a, 0].repeat(1000)), Ok(()));
        assert_eq!(weigh(&[0x2a]).unwrap_err().kind, Kind::Invalid);
    }

    #[test]
    fn data_weighs_what_it_is() {
        let request = ModelInferRequest {
            raw_input_contents: vec![vec![1; 32 << 20].into()],
            ..ModelInferRequest::default()
        };
        assert_eq!(weigh(&request.encode_to_vec()), Ok(()));
    }
}
