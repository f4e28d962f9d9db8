//! Members that requests, inputs and outputs have in common, each within its bounds.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::{Parameter, Parameters};

/// Most inputs, and most requested outputs, of one request.
pub const TENSORS_MAX: usize = 256;
/// Most parameters in one list.
pub const PARAMETERS_MAX: usize = 64;
/// Longest name, id and text of a parameter, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;

/// A text of bounded length.
pub(super) struct Name(pub(super) &'static str);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let what = self.0;
        let text = String::deserialize(deserializer)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(D::Error::custom(format_args!(
                "{what} is longer than {NAME_BYTES_MAX} bytes"
            )));
        }
        Ok(text)
    }
}

/// A list of bounded length, of what a seed makes by position.
pub(super) struct List<F> {
    pub(super) what: &'static str,
    pub(super) seed: F,
}

impl<'de, F, S> DeserializeSeed<'de> for List<F>
where
    F: FnMut(usize) -> S,
    S: DeserializeSeed<'de>,
{
    type Value = Vec<S::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F, S> Visitor<'de> for List<F>
where
    F: FnMut(usize) -> S,
    S: DeserializeSeed<'de>,
{
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {}", self.what)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed((self.seed)(list.len()))? {
            if list.len() == TENSORS_MAX {
                let what = self.what;
                return Err(A::Error::custom(format_args!("more than {TENSORS_MAX} {what}")));
            }
            list.push(item);
        }
        Ok(list)
    }
}

pub(super) fn once<'de, A: MapAccess<'de>, T>(
    map: &mut A,
    member: &str,
    slot: &mut Option<T>,
    seed: impl DeserializeSeed<'de, Value = T>,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::custom(format_args!("'{member}' is given twice")));
    }
    *slot = Some(map.next_value_seed(seed)?);
    Ok(())
}

/// Names of members of requests, inputs and outputs.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Member {
    Id,
    Parameters,
    Inputs,
    Outputs,
    Name,
    Datatype,
    Shape,
    Data,
    #[serde(other)]
    Other,
}

/// Parameters of bounded number, none named twice.
pub(super) struct Listed;

impl<'de> DeserializeSeed<'de> for Listed {
    type Value = Parameters;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parameters, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Listed {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut parameters = Parameters::new();
        while let Some(name) = map.next_key_seed(Name("a parameter's name"))? {
            let value: Parameter = map.next_value()?;
            if let Parameter::Text(text) = &value
                && text.len() > NAME_BYTES_MAX
            {
                let message = format_args!("a parameter is longer than {NAME_BYTES_MAX} bytes");
                return Err(A::Error::custom(message));
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(A::Error::custom(format_args!(
                    "more than {PARAMETERS_MAX} parameters"
                )));
            }
            if parameters.insert(name, value).is_some() {
                return Err(A::Error::custom("a parameter is given twice"));
            }
        }
        Ok(parameters)
    }
}
