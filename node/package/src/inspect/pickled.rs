//! Tensors described in a pickle of PyTorch, read as data: nothing is imported, called or built.
//!
//! A pickle is a program for a stack machine. This follows the instructions that PyTorch's archive writer uses, with
//! names in place of what they would import and with every call left undone, and notes where `_rebuild_tensor_v2` is
//! called with sizes. Anything else ends the reading with what was found so far: it serves to propose a manifest,
//! never to load a model.

use std::collections::BTreeMap;
use std::rc::Rc;

/// Most instructions followed.
const INSTRUCTIONS_MAX: usize = 1_000_000;
/// Most tensors noted.
const TENSORS_MAX: usize = 100_000;

/// What the stack holds.
#[derive(Debug)]
enum Value {
    Integer(i64),
    Global(String),
    Tuple(Vec<Rc<Value>>),
    Persistent(Rc<Value>),
    Mark,
    Other,
}

/// A tensor that a pickle describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Class of its storage, such as `FloatStorage`.
    pub(super) storage: String,
    /// Its sizes.
    pub(super) shape: Vec<i64>,
}

/// The tensors in order.
pub(super) fn tensors(pickle: &[u8]) -> Vec<Described> {
    let mut machine = Machine {
        rest: pickle,
        stack: Vec::new(),
        memo: BTreeMap::new(),
        found: Vec::new(),
    };
    for _ in 0..INSTRUCTIONS_MAX {
        if machine.step().is_none() || machine.found.len() >= TENSORS_MAX {
            break;
        }
    }
    machine.found
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Rc<Value>>,
    memo: BTreeMap<u32, Rc<Value>>,
    found: Vec<Described>,
}

impl<'a> Machine<'a> {
    /// Follows one instruction; `None` at the end or at one that is not known.
    fn step(&mut self) -> Option<()> {
        match self.byte()? {
            0x80 => drop(self.take(1)?),
            b'c' => self.global()?,
            b'q' => {
                let at = self.byte()?;
                self.put(u32::from(at))?;
            }
            b'r' => {
                let at = self.number::<4>()?;
                self.put(u32::try_from(at).ok()?)?;
            }
            b'h' => {
                let at = self.byte()?;
                self.recall(u32::from(at))?;
            }
            b'j' => {
                let at = self.number::<4>()?;
                self.recall(u32::try_from(at).ok()?)?;
            }
            b'K' => self.integer::<1>()?,
            b'M' => self.integer::<2>()?,
            b'J' => {
                let number = i32::from_le_bytes(self.take(4)?.try_into().ok()?);
                self.push(Value::Integer(i64::from(number)));
            }
            b'\x8a' => self.long()?,
            b'X' => {
                let length = usize::try_from(self.number::<4>()?).ok()?;
                self.take(length)?;
                self.push(Value::Other);
            }
            b'(' => self.push(Value::Mark),
            b'N' | b']' | b'}' | 0x88 | 0x89 => self.push(Value::Other),
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.down_to_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'Q' => {
                let id = self.stack.pop()?;
                self.push(Value::Persistent(id));
            }
            b'R' => self.call()?,
            b'\x81' => {
                self.stack.pop()?;
                self.stack.pop()?;
                self.push(Value::Other);
            }
            b'b' | b'a' => drop(self.stack.pop()?),
            b's' => {
                self.stack.pop()?;
                self.stack.pop()?;
            }
            b'e' | b'u' => drop(self.down_to_mark()?),
            _ => return None,
        }
        Some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number<const N: usize>(&mut self) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(..N)?.copy_from_slice(self.take(N)?);
        Some(u64::from_le_bytes(bytes))
    }

    fn integer<const N: usize>(&mut self) -> Option<()> {
        let number = i64::try_from(self.number::<N>()?).ok()?;
        self.push(Value::Integer(number));
        Some(())
    }

    /// An integer of up to eight bytes, in two's complement.
    fn long(&mut self) -> Option<()> {
        let length = usize::from(self.byte()?);
        let given = self.take(length)?;
        let negative = given.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut bytes = [if negative { 0xff } else { 0 }; 8];
        bytes.get_mut(..length)?.copy_from_slice(given);
        self.push(Value::Integer(i64::from_le_bytes(bytes)));
        Some(())
    }

    fn line(&mut self) -> Option<&'a str> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(line).ok()
    }

    fn global(&mut self) -> Option<()> {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Value::Global(format!("{module}.{name}")));
        Some(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(Rc::new(value));
    }

    fn put(&mut self, at: u32) -> Option<()> {
        self.memo.insert(at, Rc::clone(self.stack.last()?));
        Some(())
    }

    fn recall(&mut self, at: u32) -> Option<()> {
        let value = Rc::clone(self.memo.get(&at)?);
        self.stack.push(value);
        Some(())
    }

    fn down_to_mark(&mut self) -> Option<Vec<Rc<Value>>> {
        let at = self
            .stack
            .iter()
            .rposition(|value| matches!(**value, Value::Mark))?;
        let items = self.stack.split_off(at + 1);
        self.stack.pop();
        Some(items)
    }

    fn tuple(&mut self, count: usize) -> Option<()> {
        let from = self.stack.len().checked_sub(count)?;
        let items = self.stack.split_off(from);
        self.push(Value::Tuple(items));
        Some(())
    }

    /// A call is not made; one that would build a tensor is noted.
    fn call(&mut self) -> Option<()> {
        let (arguments, callee) = (self.stack.pop()?, self.stack.pop()?);
        if let (Value::Global(name), Value::Tuple(arguments)) = (&*callee, &*arguments)
            && name == "torch._utils._rebuild_tensor_v2"
        {
            self.found.extend(described(arguments));
        }
        self.push(Value::Other);
        Some(())
    }
}

/// Arguments of `_rebuild_tensor_v2`: the storage's persistent id, an offset, sizes, strides, and more.
fn described(arguments: &[Rc<Value>]) -> Option<Described> {
    let Value::Persistent(id) = &**arguments.first()? else {
        return None;
    };
    let Value::Tuple(id) = &**id else { return None };
    let Value::Global(storage) = &**id.get(1)? else {
        return None;
    };
    let Value::Tuple(sizes) = &**arguments.get(2)? else {
        return None;
    };
    let size = |value: &Rc<Value>| match **value {
        Value::Integer(size) => Some(size),
        _ => None,
    };
    Some(Described {
        storage: storage.strip_prefix("torch.")?.to_owned(),
        shape: sizes.iter().map(size).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PyTorch writes one tensor of shape [2, 64] in a tuple.
    const TRACED: &[u8] = b"\x80\x02}q\x00X\x07\x00\x00\x00forwardq\x01]q\x02ctorch._utils\n_rebuild_tensor_v2\nq\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K\x80tq\x08QK\x00K\x02K@\x86q\x09K@K\x01\x86q\x0a\x89ccollections\nOrderedDict\nq\x0b)Rq\x0ctq\x0dRq\x0eas.";

    #[test]
    fn tensors_are_found_and_nothing_is_called() {
        let expected = Described {
            storage: "FloatStorage".into(),
            shape: vec![2, 64],
        };
        assert_eq!(tensors(TRACED), [expected]);
        assert!(tensors(b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00idtR.").is_empty());
    }

    #[test]
    fn a_pickle_cut_anywhere_is_no_trouble() {
        for end in 0..TRACED.len() {
            tensors(&TRACED[..end]);
        }
        tensors(b"RRRQ\x86tq\x00h\x05");
    }
}
