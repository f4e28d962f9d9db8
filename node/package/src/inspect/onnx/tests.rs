//! Graphs as exporters write them, and as nobody should.

use super::*;

fn tensor(name: &str, datatype: i32, sizes: &[(i64, &str)]) -> Value {
    let size = |(value, parameter): &(i64, &str)| Size {
        value: *value,
        parameter: (*parameter).to_owned(),
    };
    let shape = Some(Shape {
        sizes: sizes.iter().map(size).collect(),
    });
    Value {
        name: name.to_owned(),
        kind: Some(Type {
            tensor: Some(TensorType { datatype, shape }),
            sequence: None,
            map: None,
        }),
    }
}

fn model() -> Model {
    let weights = Weights {
        datatype: 1,
        name: "w".into(),
        ..Weights::default()
    };
    Model {
        ir_version: 8,
        producer_name: "pytorch".into(),
        producer_version: "2.3".into(),
        graph: Some(Graph {
            nodes: vec![Node {
                operator: "Gemm".into(),
                ..Node::default()
            }],
            initializers: vec![weights],
            inputs: vec![
                tensor("x", 1, &[(0, "batch"), (4, "")]),
                tensor("w", 1, &[(4, ""), (3, "")]),
            ],
            outputs: vec![tensor("y", 7, &[(0, "batch"), (3, "")])],
            sparse: Vec::new(),
        }),
        opsets: vec![Opset {
            domain: String::new(),
            version: 17,
        }],
        metadata: vec![Pair {
            key: "author".into(),
            value: "acme".into(),
        }],
        functions: Vec::new(),
    }
}

#[test]
fn a_graph_names_its_inputs_outputs_and_free_sizes() {
    let found = inspect(&model().encode_to_vec()).unwrap();
    let slot = |name: &str, datatype: &str, shape: &[i64]| Slot {
        name: name.into(),
        datatype: Some(datatype.into()),
        shape: Some(shape.to_vec()),
    };
    assert_eq!(found.inputs, [slot("x", "FP32", &[-1, 4])]);
    assert_eq!(found.outputs, [slot("y", "INT64", &[-1, 3])]);
    let facts = found.facts.join("\n");
    for sign in [
        "ai.onnx 17",
        "IR version: 8",
        "pytorch 2.3",
        "weights: FP32",
        "author: acme",
    ] {
        assert!(facts.contains(sign), "{sign} in {facts}");
    }
}

#[test]
fn a_graph_that_unfolds_to_gigabytes_is_refused_before_it_is_decoded() {
    let holding = |tag: u8, inner: &[u8]| {
        let mut bytes = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        bytes.extend_from_slice(inner);
        bytes
    };
    // Of field 1 of a graph, nodes, and of field 5 of a node, attributes.
    let nodes = holding(0x3a, &[0x0a_u8, 0].repeat(8 << 20));
    let attributes = holding(0x3a, &holding(0x0a, &[0x2a_u8, 0].repeat(8 << 20)));
    for bytes in [nodes, attributes] {
        let error = inspect(&bytes).unwrap_err().to_string();
        assert!(error.contains("bytes of memory"), "{error}");
    }
}

/// A way to put external weights into a model.
type Hide = fn(&mut Model, Weights, Graph, &dyn Fn(Attribute) -> Node);

#[test]
fn external_data_is_refused_wherever_it_hides() {
    let outside = Weights {
        name: "big".into(),
        location: EXTERNAL,
        external: vec![Pair {
            key: "location".into(),
            value: "../../etc/passwd".into(),
        }],
        ..Weights::default()
    };
    let inner = Graph {
        initializers: vec![outside.clone()],
        ..Graph::default()
    };
    let node = |attribute: Attribute| Node {
        attributes: vec![attribute],
        ..Node::default()
    };
    let hide: [Hide; 4] = [
        |model, weights, _, _| model.graph.as_mut().unwrap().initializers.push(weights),
        |model, weights, _, node| {
            let attribute = Attribute {
                tensor: Some(weights),
                ..Attribute::default()
            };
            model.graph.as_mut().unwrap().nodes.push(node(attribute));
        },
        |model, _, graph, node| {
            let attribute = Attribute {
                graph: Some(graph),
                ..Attribute::default()
            };
            model.graph.as_mut().unwrap().nodes.push(node(attribute));
        },
        |model, weights, _, node| {
            let sparse = Some(Sparse {
                values: Some(weights),
                indices: None,
            });
            model.functions.push(Function {
                nodes: vec![node(Attribute {
                    sparse,
                    ..Attribute::default()
                })],
            });
        },
    ];
    for hide in hide {
        let mut model = model();
        hide(&mut model, outside.clone(), inner.clone(), &node);
        let error = inspect(&model.encode_to_vec()).unwrap_err().to_string();
        assert!(error.contains("passwd") && error.contains("one file"), "{error}");
    }
}

#[test]
fn what_no_protocol_carries_is_refused_by_name() {
    let with = |value: Value| {
        let mut model = model();
        model.graph.as_mut().unwrap().outputs = vec![value];
        inspect(&model.encode_to_vec()).unwrap_err().to_string()
    };
    let kind = Some(Type {
        sequence: Some(Empty {}),
        ..Type::default()
    });
    assert!(
        with(Value {
            name: "probabilities".into(),
            kind
        })
        .contains("zipmap")
    );
    assert!(with(tensor("z", 14, &[])).contains("datatype"));
    assert!(inspect(b"").is_err());
    assert!(inspect(b"\x0a\xff").is_err());
}
