//! ONNX models as protobuf bytes, as hostile as a format without system calls can be. Field numbers are those of
//! `onnx.proto3`.

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(content);
    bytes
}

/// A number field with a value below 128.
fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// Datatypes of `TensorProto`.
const FP32: u8 = 1;
const INT64: u8 = 7;
const BOOL: u8 = 9;

/// An input or output; every size is free.
fn value(name: &str, datatype: u8, rank: usize) -> Vec<u8> {
    let sizes = field(1, &field(2, b"n")).repeat(rank);
    let tensor = field(1, &[number(1, datatype), field(2, &sizes)].concat());
    [field(1, name.as_bytes()), field(2, &tensor)].concat()
}

fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    bytes.extend(outputs.iter().flat_map(|name| field(2, name.as_bytes())));
    bytes.extend(field(4, operator.as_bytes()));
    bytes.extend(attributes.iter().flat_map(|attribute| field(5, attribute)));
    field(1, &bytes)
}

/// An attribute that holds a number below 128 (type INT).
fn whole(name: &str, value: u8) -> Vec<u8> {
    [field(1, name.as_bytes()), number(3, value), vec![0xa0, 1, 2]].concat()
}

/// An attribute that holds a graph (type GRAPH).
fn graph(name: &str, graph: &[u8]) -> Vec<u8> {
    [field(1, name.as_bytes()), field(6, graph), vec![0xa0, 1, 5]].concat()
}

/// A model from `x`, FP32 of one dimension, to `y`, FP32.
fn model(nodes: &[Vec<u8>], rank: usize) -> Vec<u8> {
    let graph = [
        nodes.concat(),
        field(2, b"g"),
        field(11, &value("x", FP32, 1)),
        field(12, &value("y", FP32, rank)),
    ];
    [number(1, 8), field(7, &graph.concat()), field(8, &number(2, 13))].concat()
}

/// Squares its input.
pub(crate) fn square() -> Vec<u8> {
    model(&[node("Mul", &["x", "x"], &["y"], &[])], 1)
}

/// As many zeros as its input says.
pub(crate) fn zeros() -> Vec<u8> {
    let nodes = [
        node("Cast", &["x"], &["n"], &[whole("to", INT64)]),
        node("ConstantOfShape", &["n"], &["y"], &[]),
    ];
    model(&nodes, 1)
}

/// Adds its input to itself as often as its input says.
pub(crate) fn spin() -> Vec<u8> {
    let body = [
        node("Add", &["v", "v"], &["w"], &[]),
        node("Identity", &["c"], &["d"], &[]),
        field(2, b"b"),
        field(11, &value("i", INT64, 0)),
        field(11, &value("c", BOOL, 0)),
        field(11, &value("v", FP32, 1)),
        field(12, &value("d", BOOL, 0)),
        field(12, &value("w", FP32, 1)),
    ];
    let nodes = [
        node("Cast", &["x"], &["n"], &[whole("to", INT64)]),
        node("Loop", &["n", "", "x"], &["y"], &[graph("body", &body.concat())]),
    ];
    model(&nodes, 1)
}

/// 0 divided by 0 in every place.
pub(crate) fn nan() -> Vec<u8> {
    let nodes = [
        node("Sub", &["x", "x"], &["z"], &[]),
        node("Div", &["z", "z"], &["y"], &[]),
    ];
    model(&nodes, 1)
}

/// Its input with one more dimension than `square` has.
pub(crate) fn wrong_rank() -> Vec<u8> {
    let nodes = [
        node("Shape", &["x"], &["s"], &[]),
        node("ConstantOfShape", &["s"], &["o"], &[]),
        node("SequenceConstruct", &["x", "o"], &["q"], &[]),
        node(
            "ConcatFromSequence",
            &["q"],
            &["y"],
            &[whole("axis", 0), whole("new_axis", 1)],
        ),
    ];
    model(&nodes, 2)
}
