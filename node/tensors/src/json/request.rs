//! An inference request out of its JSON.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::apart::{self, Apart};
use super::data::{Collector, Level};
use super::members::{List, Listed, Member, Name, once};
use crate::binary::TEXTS_MAX;
use crate::{Datatype, Elements, Parameters, element_count};

/// A request that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestError(String);

/// A request for an inference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InferRequest {
    /// Chosen by the caller and sent back; empty for none.
    pub id: String,
    /// Parameters of the request.
    pub parameters: Parameters,
    /// The inputs, in the order given.
    pub inputs: Vec<InputTensor>,
    /// The outputs wanted; empty for all.
    pub outputs: Vec<RequestedOutput>,
}

/// An input.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTensor {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Sizes, outermost first.
    pub shape: Vec<i64>,
    /// Where the elements are.
    pub source: Source,
}

/// Where the elements of an input are.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// In the JSON; as many as the shape says.
    Json(Elements),
    /// So many bytes after the JSON, in the order of the inputs.
    Binary(usize),
}

/// An output that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// Whether as binary data; as the request says for all outputs, if not said.
    pub binary_data: Option<bool>,
    /// How many of the highest scores are wanted as classes instead of the scores; 0 for the scores.
    pub classification: u64,
}

/// Reads a request.
///
/// # Errors
/// [`RequestError`] saying where, what is wrong and what is expected.
pub fn parse_request(json: &[u8]) -> Result<InferRequest, RequestError> {
    // Members that nobody reads are text too; and what is known to be text is read faster.
    let json = std::str::from_utf8(json)
        .map_err(|error| RequestError(format!("the request cannot be read: it is no UTF-8: {error}")))?;
    if let Some(request) = Apart::new(json).and_then(|apart| of_parts(&apart)) {
        return Ok(request);
    }
    let (unordered, texts) = (Cell::new(false), Cell::new(0));
    let parsed = parse(
        json,
        Data::Within {
            datatypes: &[],
            unordered: &unordered,
            texts: &texts,
        },
    );
    if !unordered.get() {
        return parsed.map_err(refused);
    }
    let heads: Heads = serde_json::from_str(json).map_err(refused)?;
    let datatypes: Vec<Option<Datatype>> = heads
        .inputs
        .iter()
        .map(|head| head.datatype.as_deref().and_then(Datatype::parse))
        .collect();
    let (unordered, texts) = (Cell::new(false), Cell::new(0));
    let data = Data::Within {
        datatypes: &datatypes,
        unordered: &unordered,
        texts: &texts,
    };
    parse(json, data).map_err(refused)
}

/// A request whose arrays were taken out; nothing if there is anything wrong with it.
fn of_parts(apart: &Apart<'_>) -> Option<InferRequest> {
    let read = Cell::new(0);
    let data = Data::Apart {
        arrays: &apart.arrays,
        read: &read,
    };
    let request = parse(&apart.head, data).ok()?;
    (read.get() == apart.arrays.len()).then_some(request)
}

fn parse(json: &str, data: Data<'_>) -> Result<InferRequest, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let request = Whole { data }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(request)
}

fn refused(error: serde_json::Error) -> RequestError {
    RequestError(format!("the request cannot be read: {error}"))
}

/// What is needed of each input before its data can be read.
#[derive(Deserialize)]
struct Heads {
    #[serde(default)]
    inputs: Vec<Head>,
}

#[derive(Deserialize)]
struct Head {
    datatype: Option<String>,
}

/// Where the data of the inputs is.
#[derive(Clone, Copy)]
enum Data<'a> {
    /// In the JSON.
    Within {
        /// Datatypes of the inputs, where they had to be found out first.
        datatypes: &'a [Option<Datatype>],
        /// Set when an input's data stands before its datatype.
        unordered: &'a Cell<bool>,
        /// Elements of BYTES in the inputs read so far.
        texts: &'a Cell<usize>,
    },
    /// In arrays that were taken out, of which so many were read.
    Apart {
        arrays: &'a [&'a str],
        read: &'a Cell<usize>,
    },
}

/// The request.
struct Whole<'a> {
    data: Data<'a>,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = InferRequest;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<InferRequest, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = InferRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with 'inputs'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InferRequest, A::Error> {
        let (mut id, mut parameters, mut inputs, mut outputs) = (None, None, None, None);
        while let Some(member) = map.next_key::<Member>()? {
            match member {
                Member::Id => once(&mut map, "id", &mut id, Name("'id'"))?,
                Member::Parameters => once(&mut map, "parameters", &mut parameters, Listed)?,
                Member::Inputs => {
                    let seed = |index: usize| Input {
                        index,
                        data: self.data,
                    };
                    once(&mut map, "inputs", &mut inputs, List { what: "inputs", seed })?;
                }
                Member::Outputs => {
                    let seed = |_| Output;
                    once(
                        &mut map,
                        "outputs",
                        &mut outputs,
                        List {
                            what: "outputs",
                            seed,
                        },
                    )?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let inputs = inputs.ok_or_else(|| A::Error::missing_field("inputs"))?;
        Ok(InferRequest {
            id: id.unwrap_or_default(),
            parameters: parameters.unwrap_or_default(),
            inputs,
            outputs: outputs.unwrap_or_default(),
        })
    }
}

/// An input.
struct Input<'a> {
    index: usize,
    data: Data<'a>,
}

impl<'de> DeserializeSeed<'de> for Input<'_> {
    type Value = InputTensor;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<InputTensor, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// A datatype by name.
struct Named;

impl<'de> DeserializeSeed<'de> for Named {
    type Value = Datatype;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Datatype, D::Error> {
        let name = Name("'datatype'").deserialize(deserializer)?;
        Datatype::parse(&name).ok_or_else(|| {
            let known = Datatype::ALL.map(Datatype::name).join(", ");
            let shown: String = name.chars().take(40).collect();
            D::Error::custom(format_args!("'{shown}' is no datatype; {known} are"))
        })
    }
}

impl<'de> Visitor<'de> for Input<'_> {
    type Value = InputTensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an input: an object with 'name', 'datatype', 'shape' and 'data'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InputTensor, A::Error> {
        let (mut name, mut datatype, mut shape, mut parameters) = (None, None, None, None);
        let mut given = None;
        while let Some(member) = map.next_key::<Member>()? {
            match member {
                Member::Name => once(&mut map, "name", &mut name, Name("'name'"))?,
                Member::Datatype => once(&mut map, "datatype", &mut datatype, Named)?,
                Member::Shape => {
                    let seed = |_| std::marker::PhantomData::<i64>;
                    once(&mut map, "shape", &mut shape, List { what: "sizes", seed })?;
                }
                Member::Parameters => once(&mut map, "parameters", &mut parameters, Listed)?,
                Member::Data if given.is_some() => return Err(A::Error::custom("'data' is given twice")),
                Member::Data => {
                    let expected = shape.as_deref().and_then(|shape| element_count(shape).ok());
                    given = self.given(&mut map, datatype, expected)?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = |member| A::Error::missing_field(member);
        let name = name.ok_or_else(|| missing("name"))?;
        let datatype = datatype.ok_or_else(|| missing("datatype"))?;
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let source = self.source(&name, (datatype, &shape), given, &parameters.unwrap_or_default())?;
        Ok(InputTensor {
            name,
            datatype,
            shape,
            source,
        })
    }
}

/// The data of an input.
enum Given<'a> {
    Collected(Box<Collector>),
    Array(&'a str),
}

impl<'a> Input<'a> {
    /// The value of the member `data`; nothing if it is passed over, to be read the next time.
    fn given<'de, A: MapAccess<'de>>(
        &self,
        map: &mut A,
        datatype: Option<Datatype>,
        expected: Option<usize>,
    ) -> Result<Option<Given<'a>>, A::Error> {
        match self.data {
            Data::Apart { arrays, read } => {
                let [at]: [usize; 1] = map.next_value()?;
                let array = arrays.get(at).filter(|_| at == read.get());
                read.set(at + 1);
                let array =
                    array.ok_or_else(|| A::Error::custom("an array is not where it was taken from"))?;
                Ok(Some(Given::Array(array)))
            }
            Data::Within {
                datatypes,
                unordered,
                texts,
            } => {
                let known = datatypes.get(self.index).copied().flatten();
                let Some(datatype) = datatype.or(known) else {
                    unordered.set(true);
                    map.next_value::<IgnoredAny>()?;
                    return Ok(None);
                };
                let mut collector = Collector::new(datatype, expected);
                map.next_value_seed(Level {
                    collector: &mut collector,
                    depth: 0,
                })?;
                texts.set(texts.get() + collector.texts());
                if texts.get() > TEXTS_MAX {
                    let message = format_args!("more than {TEXTS_MAX} elements of BYTES in all inputs");
                    return Err(A::Error::custom(message));
                }
                Ok(Some(Given::Collected(Box::new(collector))))
            }
        }
    }

    /// Where an input's elements are, from what was given.
    fn source<E: Error>(
        &self,
        name: &str,
        (datatype, shape): (Datatype, &[i64]),
        given: Option<Given<'_>>,
        parameters: &Parameters,
    ) -> Result<Source, E> {
        let shown: String = name.chars().take(80).collect();
        let wrong = |problem: &dyn fmt::Display| E::custom(format_args!("input '{shown}' {problem}"));
        if parameters.contains_key("shared_memory_region") {
            return Err(wrong(
                &"asks for shared memory of the client, which is not offered; send the data",
            ));
        }
        let expected = element_count(shape).map_err(|error| wrong(&error))?;
        let binary = parameters.get("binary_data_size");
        match (given, binary) {
            (Some(Given::Collected(collector)), None) => {
                let elements = collector.finish(shape, expected);
                elements.map(Source::Json).map_err(|error| wrong(&error))
            }
            (Some(Given::Array(array)), None) => {
                let elements = apart::elements(array, datatype, shape);
                elements.map(Source::Json).ok_or_else(|| wrong(&"has other data"))
            }
            (None, Some(bytes)) => {
                let bytes = bytes.as_u64().and_then(|bytes| usize::try_from(bytes).ok());
                let bytes =
                    bytes.ok_or_else(|| wrong(&"has a binary_data_size that is no number of bytes"))?;
                Ok(Source::Binary(bytes))
            }
            (Some(_), Some(_)) => Err(wrong(&"has both data and binary_data_size")),
            (None, None) => match self.data {
                // The data was passed over and is read the next time.
                Data::Within { unordered, .. } if unordered.get() => Ok(Source::Binary(0)),
                _ => Err(wrong(&"has no data")),
            },
        }
    }
}

/// A requested output.
struct Output;

impl<'de> DeserializeSeed<'de> for Output {
    type Value = RequestedOutput;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RequestedOutput, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Output {
    type Value = RequestedOutput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a requested output: an object with 'name'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RequestedOutput, A::Error> {
        let (mut name, mut parameters) = (None, None);
        while let Some(member) = map.next_key::<Member>()? {
            match member {
                Member::Name => once(&mut map, "name", &mut name, Name("'name'"))?,
                Member::Parameters => once(&mut map, "parameters", &mut parameters, Listed)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        let parameters: Parameters = parameters.unwrap_or_default();
        if parameters.contains_key("shared_memory_region") {
            let message = "a requested output asks for shared memory of the client, which is not offered";
            return Err(A::Error::custom(message));
        }
        let wrong = |what| A::Error::custom(format_args!("{what} of a requested output cannot be read"));
        let binary_data = match parameters.get("binary_data") {
            None => None,
            Some(value) => Some(value.as_bool().ok_or_else(|| wrong("binary_data"))?),
        };
        let classification = match parameters.get("classification") {
            None => 0,
            Some(value) => value.as_u64().ok_or_else(|| wrong("classification"))?,
        };
        Ok(RequestedOutput {
            name,
            binary_data,
            classification,
        })
    }
}
