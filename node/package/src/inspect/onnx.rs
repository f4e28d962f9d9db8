//! ONNX models: the graph's inputs and outputs out of the protobuf.
//!
//! Only the fields looked at are decoded; weights are skipped where they lie. Numbers of fields and of datatypes
//! follow `onnx.proto3` (IR version 10). External data is refused, in subgraphs and functions as well: it names
//! files by path, and a release is loaded from the bytes of one file.

use std::collections::BTreeSet;

use fieldmark_proto::walk::{Part, unfolded};
use prost::Message;

use super::{Finding, InspectError, Slot, TENSORS_MAX};

/// Largest model, in bytes: protobuf's own limit.
pub(super) const BYTES_MAX: u64 = 2 << 30;
/// Most memory that a model's structure may take once it is decoded; weights are not decoded. Large exported models
/// stay below a tenth of it, while empty nodes, two bytes each in the file, would take gigabytes.
const DECODED_BYTES_MAX: usize = 256 << 20;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opsets: Vec<Opset>,
    #[prost(message, repeated, tag = "14")]
    metadata: Vec<Pair>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<Weights>,
    #[prost(message, repeated, tag = "11")]
    inputs: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    outputs: Vec<Value>,
    #[prost(message, repeated, tag = "15")]
    sparse: Vec<Sparse>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    nodes: Vec<Node>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "4")]
    operator: String,
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<Attribute>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    tensor: Option<Weights>,
    #[prost(message, optional, tag = "6")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Weights>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse: Option<Sparse>,
    #[prost(message, repeated, tag = "23")]
    sparses: Vec<Sparse>,
}

/// A tensor without its values.
#[derive(Clone, PartialEq, Message)]
struct Weights {
    #[prost(int32, tag = "2")]
    datatype: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(message, repeated, tag = "13")]
    external: Vec<Pair>,
    #[prost(int32, tag = "14")]
    location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Sparse {
    #[prost(message, optional, tag = "1")]
    values: Option<Weights>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Weights>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
    #[prost(message, optional, tag = "4")]
    sequence: Option<Empty>,
    #[prost(message, optional, tag = "5")]
    map: Option<Empty>,
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    datatype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    sizes: Vec<Size>,
}

#[derive(Clone, PartialEq, Message)]
struct Size {
    #[prost(int64, tag = "1")]
    value: i64,
    #[prost(string, tag = "2")]
    parameter: String,
}

/// The messages above, for weighing them.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Model,
    Opset,
    Pair,
    Graph,
    Function,
    Node,
    Attribute,
    Weights,
    Sparse,
    Value,
    Type,
    Empty,
    TensorType,
    Shape,
    Size,
}

/// What a field of a message takes in memory, as far as it is decoded.
fn part(kind: Kind, field: u32) -> Option<Part<Kind>> {
    Some(match (kind, field) {
        (Kind::Model, 2 | 3)
        | (Kind::Opset, 1)
        | (Kind::Pair, 1 | 2)
        | (Kind::Node, 4 | 7)
        | (Kind::Weights, 8)
        | (Kind::Value, 1)
        | (Kind::Size, 2) => Part::text(),
        (Kind::Model, 7) | (Kind::Attribute, 6 | 11) => Part::message::<Graph>(Kind::Graph),
        (Kind::Model, 8) => Part::message::<Opset>(Kind::Opset),
        (Kind::Model, 14) | (Kind::Weights, 13) => Part::message::<Pair>(Kind::Pair),
        (Kind::Model, 25) => Part::message::<Function>(Kind::Function),
        (Kind::Graph, 1) | (Kind::Function, 7) => Part::message::<Node>(Kind::Node),
        (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => {
            Part::message::<Weights>(Kind::Weights)
        }
        (Kind::Graph, 11 | 12) => Part::message::<Value>(Kind::Value),
        (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Part::message::<Sparse>(Kind::Sparse),
        (Kind::Node, 5) => Part::message::<Attribute>(Kind::Attribute),
        (Kind::Value, 2) => Part::message::<Type>(Kind::Type),
        (Kind::Type, 1) => Part::message::<TensorType>(Kind::TensorType),
        (Kind::Type, 4 | 5) => Part::message::<Empty>(Kind::Empty),
        (Kind::TensorType, 2) => Part::message::<Shape>(Kind::Shape),
        (Kind::Shape, 1) => Part::message::<Size>(Kind::Size),
        _ => return None,
    })
}

/// Names inputs and outputs, and refuses what would read other files.
pub(super) fn inspect(bytes: &[u8]) -> Result<Finding, InspectError> {
    let format = |detail: String| InspectError::Format {
        format: "ONNX model",
        detail,
    };
    let size = unfolded(bytes, Kind::Model, &part).map_err(|error| format(error.to_string()))?;
    if size > DECODED_BYTES_MAX {
        return Err(format(format!(
            "its structure alone would take {size} bytes of memory, at most {DECODED_BYTES_MAX} are taken"
        )));
    }
    let model = Model::decode(bytes).map_err(|error| format(error.to_string()))?;
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| format("it has no graph".to_owned()))?;
    if model.ir_version <= 0 || model.opsets.is_empty() {
        return Err(format("it states no IR version or no operator set".to_owned()));
    }
    refuse_external_graph(graph)?;
    model
        .functions
        .iter()
        .try_for_each(|function| refuse_external_nodes(&function.nodes))?;
    let weights: BTreeSet<&str> = graph.initializers.iter().map(|w| w.name.as_str()).collect();
    // Before IR version 4 every weight was an input as well.
    let inputs = graph
        .inputs
        .iter()
        .filter(|input| !weights.contains(input.name.as_str()));
    let inputs = inputs.map(slot).collect::<Result<Vec<_>, _>>()?;
    let outputs = graph.outputs.iter().map(slot).collect::<Result<Vec<_>, _>>()?;
    for (what, slots) in [("inputs", &inputs), ("outputs", &outputs)] {
        if slots.is_empty() || slots.len() > TENSORS_MAX {
            let detail = format!(
                "the graph has {} {what}, 1 to {TENSORS_MAX} are taken",
                slots.len()
            );
            return Err(InspectError::Refused(detail));
        }
    }
    Ok(Finding {
        runtime: "onnx",
        inputs,
        outputs,
        facts: facts(&model, graph),
    })
}

fn facts(model: &Model, graph: &Graph) -> Vec<String> {
    let plain = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(120).collect() };
    let domain = |domain: &str| {
        if domain.is_empty() {
            "ai.onnx".to_owned()
        } else {
            plain(domain)
        }
    };
    let opsets: Vec<String> = model
        .opsets
        .iter()
        .take(8)
        .map(|o| format!("{} {}", domain(&o.domain), o.version))
        .collect();
    let producer = format!(
        "{} {}",
        plain(&model.producer_name),
        plain(&model.producer_version)
    );
    let mut facts = vec![
        format!("operator sets: {}", opsets.join(", ")),
        format!("IR version: {}", model.ir_version),
    ];
    if !producer.trim().is_empty() {
        facts.push(format!("written by: {}", producer.trim()));
    }
    let foreign: BTreeSet<String> = graph
        .nodes
        .iter()
        .filter(|node| !["", "ai.onnx", "ai.onnx.ml"].contains(&node.domain.as_str()))
        .map(|node| plain(&format!("{}.{}", node.domain, node.operator)))
        .collect();
    if !foreign.is_empty() {
        let listed: Vec<String> = foreign.into_iter().take(8).collect();
        facts.push(format!(
            "operators outside the standard sets: {}",
            listed.join(", ")
        ));
    }
    let datatypes: BTreeSet<&str> = graph
        .initializers
        .iter()
        .filter_map(|w| datatype(w.datatype))
        .collect();
    if !datatypes.is_empty() {
        facts.push(format!(
            "weights: {}",
            datatypes.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    let pairs = model
        .metadata
        .iter()
        .take(16)
        .map(|p| format!("{}: {}", plain(&p.key), plain(&p.value)));
    facts.extend(pairs);
    facts
}

fn slot(value: &Value) -> Result<Slot, InspectError> {
    let refused = |what: &str| {
        let name = &value.name;
        InspectError::Refused(format!(
            "'{name}' {what}; only tensors are served: export the model without it"
        ))
    };
    let kind = value.kind.as_ref().ok_or_else(|| refused("has no type"))?;
    if kind.sequence.is_some() || kind.map.is_some() {
        return Err(refused(
            "is a sequence or a map (for scikit-learn: convert with zipmap off)",
        ));
    }
    let tensor = kind.tensor.as_ref().ok_or_else(|| refused("is no tensor"))?;
    let datatype =
        datatype(tensor.datatype).ok_or_else(|| refused("has a datatype that no protocol carries"))?;
    let shape = tensor
        .shape
        .as_ref()
        .map(|shape| shape.sizes.iter().map(size).collect());
    Ok(Slot {
        name: value.name.clone(),
        datatype: Some(datatype.to_owned()),
        shape,
    })
}

/// A size of 0 or less, or one with a name, is the caller's.
fn size(size: &Size) -> i64 {
    if size.parameter.is_empty() && size.value > 0 {
        size.value
    } else {
        -1
    }
}

/// Open Inference Protocol name of a `TensorProto.DataType`.
fn datatype(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "FP32",
        2 => "UINT8",
        3 => "INT8",
        4 => "UINT16",
        5 => "INT16",
        6 => "INT32",
        7 => "INT64",
        8 => "BYTES",
        9 => "BOOL",
        10 => "FP16",
        11 => "FP64",
        12 => "UINT32",
        13 => "UINT64",
        16 => "BF16",
        _ => return None,
    })
}

fn refuse_external_graph(graph: &Graph) -> Result<(), InspectError> {
    graph.initializers.iter().try_for_each(refuse_external)?;
    graph.sparse.iter().try_for_each(refuse_external_sparse)?;
    refuse_external_nodes(&graph.nodes)
}

fn refuse_external_nodes(nodes: &[Node]) -> Result<(), InspectError> {
    for attribute in nodes.iter().flat_map(|node| &node.attributes) {
        attribute
            .tensor
            .iter()
            .chain(&attribute.tensors)
            .try_for_each(refuse_external)?;
        attribute
            .sparse
            .iter()
            .chain(&attribute.sparses)
            .try_for_each(refuse_external_sparse)?;
        attribute
            .graph
            .iter()
            .chain(&attribute.graphs)
            .try_for_each(refuse_external_graph)?;
    }
    Ok(())
}

fn refuse_external_sparse(sparse: &Sparse) -> Result<(), InspectError> {
    sparse
        .values
        .iter()
        .chain(&sparse.indices)
        .try_for_each(refuse_external)
}

fn refuse_external(weights: &Weights) -> Result<(), InspectError> {
    if weights.location != EXTERNAL && weights.external.is_empty() {
        return Ok(());
    }
    let location = weights
        .external
        .iter()
        .find(|pair| pair.key == "location")
        .map_or("another file", |p| &p.value);
    let plain: String = location.chars().filter(|c| !c.is_control()).take(120).collect();
    Err(InspectError::Refused(format!(
        "the weights '{}' lie in {plain}; external data is refused, because it reads files by path: save the model in \
         one file, with onnx.save(onnx.load(PATH), NEW, save_as_external_data=False)",
        weights.name
    )))
}

#[cfg(test)]
mod tests;
