//! Requests as clients send them and as hostile ones do; answers read back by `serde_json`.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Datatype, Elements, Parameter};

fn request(inputs: Value) -> Result<InferRequest, RequestError> {
    parse_request(json!({ "inputs": inputs }).to_string().as_bytes())
}

fn one(datatype: &str, shape: Value, data: Value) -> Result<Elements, String> {
    let parsed = request(json!([{ "name": "x", "datatype": datatype, "shape": shape, "data": data }]));
    match parsed.map_err(|error| error.to_string())?.inputs.remove(0).source {
        Source::Json(elements) => Ok(elements),
        Source::Binary(_) => Err("binary".into()),
    }
}

fn dense(bytes: &[u8]) -> Elements {
    Elements::Dense(Bytes::copy_from_slice(bytes))
}

#[test]
fn every_datatype_is_read_as_little_endian_elements() {
    let cases = [
        ("BOOL", json!([true, false]), &[1, 0][..]),
        ("UINT8", json!([1, 255]), &[1, 255]),
        ("INT8", json!([-1, 127]), &[255, 127]),
        ("UINT16", json!([1, 65535]), &[1, 0, 255, 255]),
        ("INT16", json!([-2, 1]), &[254, 255, 1, 0]),
        ("UINT32", json!([1, u32::MAX]), &[1, 0, 0, 0, 255, 255, 255, 255]),
        ("INT32", json!([-1, 1]), &[255, 255, 255, 255, 1, 0, 0, 0]),
        ("FP16", json!([1, -2.0]), &[0, 0x3c, 0, 0xc0]),
        ("BF16", json!([1, -2.0]), &[0x80, 0x3f, 0, 0xc0]),
        ("FP32", json!([1, -2.5]), &[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]),
    ];
    for (datatype, data, bytes) in cases {
        assert_eq!(one(datatype, json!([2]), data), Ok(dense(bytes)), "{datatype}");
    }
    let wide = one("FP64", json!([1]), json!([0.5]));
    assert_eq!(wide, Ok(dense(&0.5_f64.to_le_bytes())));
    let wide = one("UINT64", json!([1]), json!([u64::MAX]));
    assert_eq!(wide, Ok(dense(&[255; 8])));
    let wide = one("INT64", json!([1]), json!([i64::MIN]));
    assert_eq!(wide, Ok(dense(&i64::MIN.to_le_bytes())));
    let texts = one("BYTES", json!([2]), json!(["über", ""]));
    assert_eq!(texts, Ok(Elements::Texts(vec!["über".into(), Bytes::new()])));
}

#[test]
fn data_is_flat_or_nested_as_the_shape_says() {
    let bytes = dense(&[1, 2, 3, 4, 5, 6]);
    assert_eq!(
        one("UINT8", json!([2, 3]), json!([1, 2, 3, 4, 5, 6])),
        Ok(bytes.clone())
    );
    assert_eq!(
        one("UINT8", json!([2, 3]), json!([[1, 2, 3], [4, 5, 6]])),
        Ok(bytes)
    );
    assert_eq!(one("UINT8", json!([0, 3]), json!([])), Ok(dense(&[])));
    for (shape, data, sign) in [
        (json!([2, 3]), json!([[1, 2], [3, 4], [5, 6]]), "nested as [3, 2]"),
        (json!([6]), json!([[1, 2, 3], [4, 5, 6]]), "nested as [2, 3]"),
        (json!([2, 2]), json!([[1, 2, 3], [4]]), "different lengths"),
        (json!([2, 2]), json!([1, [2, 3], 4]), "mixes"),
        (
            json!([2, 2]),
            json!([1, 2, 3]),
            "has 3 elements, its shape [2, 2] takes 4",
        ),
        (json!([-1]), json!([1]), "-1"),
        (json!([i64::MAX, 4]), json!([1]), "more than this machine"),
        (json!([1.5]), json!([1]), "1.5"),
    ] {
        let error = one("UINT8", shape, data).unwrap_err();
        assert!(error.contains(sign), "{error}");
    }
}

#[test]
fn elements_that_do_not_fit_their_datatype_are_named() {
    for (datatype, data, sign) in [
        ("UINT8", json!([256]), "256 is no UINT8"),
        ("INT8", json!([-129]), "-129 is no INT8"),
        ("INT32", json!([1.5]), "1.5 is no INT32"),
        ("BOOL", json!([1]), "1 is no BOOL"),
        ("FP32", json!([1e300]), "is no FP32"),
        ("FP16", json!([70000]), "is no FP16"),
        ("FP32", json!(["1"]), "\"1\" is no FP32"),
        ("FP32", json!([null]), "an element of FP32"),
        ("FP32", json!([{}]), "an element of FP32"),
        ("BYTES", json!([1]), "1 is no BYTES"),
        ("FP8", json!([1]), "'FP8' is no datatype"),
    ] {
        let error = one(datatype, json!([1]), data).unwrap_err();
        assert!(error.contains(sign) && error.contains("line 1"), "{error}");
    }
    let nan = parse_request(br#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[NaN]}]}"#);
    assert!(nan.is_err());
}

#[test]
fn members_come_in_any_order() {
    let first = br#"{"inputs":[{"data":[[1,2]],"name":"x","shape":[1,2],"datatype":"INT8"},
                               {"data":["a"],"shape":[1],"name":"t","datatype":"BYTES"}],"id":"7"}"#;
    let parsed = parse_request(first).unwrap();
    assert_eq!(parsed.id, "7");
    assert_eq!(parsed.inputs[0].source, Source::Json(dense(&[1, 2])));
    assert_eq!(
        parsed.inputs[1].source,
        Source::Json(Elements::Texts(vec!["a".into()]))
    );
    let never = br#"{"inputs":[{"data":[1],"name":"x","shape":[1]}]}"#;
    assert!(parse_request(never).unwrap_err().to_string().contains("datatype"));
}

#[test]
fn outputs_and_parameters_are_read() {
    let body = json!({
        "id": "a", "extra": {"deep": [1]}, "parameters": {"binary_data_output": true, "n": -1, "f": 0.5, "s": "t"},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": false, "classification": 3}}, {"name": "z"}]
    });
    let parsed = parse_request(body.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.inputs[0].source, Source::Binary(8));
    assert_eq!(parsed.parameters["binary_data_output"], Parameter::Bool(true));
    assert_eq!(parsed.parameters["n"], Parameter::Int(-1));
    assert_eq!(
        (parsed.outputs[0].binary_data, parsed.outputs[0].classification),
        (Some(false), 3)
    );
    assert_eq!(
        (parsed.outputs[1].binary_data, parsed.outputs[1].classification),
        (None, 0)
    );
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    for (body, sign) in [
        ("", "EOF"),
        ("[]", "an object with 'inputs'"),
        ("{}", "inputs"),
        (r#"{"inputs":{}}"#, "an array of inputs"),
        (r#"{"inputs":[]}x"#, "trailing"),
        (r#"{"inputs":[],"inputs":[]}"#, "'inputs' is given twice"),
        (r#"{"inputs":[{"name":"x","name":"y"}]}"#, "'name' is given twice"),
        (
            r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1],"data":[1]}]}"#,
            "'data' is given twice",
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[1]}]}"#,
            "has no data",
        ),
        (r#"{"inputs":[],"parameters":{"a":1,"a":2}}"#, "given twice"),
        (r#"{"inputs":[],"parameters":{"a":[]}}"#, "a parameter"),
        (
            r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":-1}}]}"#,
            "no number of bytes",
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"shared_memory_region":"r"}}]}"#,
            "not offered",
        ),
    ] {
        let error = parse_request(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(sign), "{body}: {error}");
    }
    let deep = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"INT8","shape":[1],"data":{}"#,
        "[".repeat(100_000)
    );
    assert!(parse_request(deep.as_bytes()).is_err());
    let many = json!({ "inputs": vec![json!({"name": "x", "datatype": "INT8", "shape": [0], "data": []}); TENSORS_MAX + 1] });
    let error = parse_request(many.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("more than 256 inputs"));
    let long = json!({ "inputs": [], "id": "x".repeat(NAME_BYTES_MAX + 1) });
    assert!(parse_request(long.to_string().as_bytes()).is_err());
}

fn written(datatype: Datatype, shape: &[i64], elements: &Elements) -> Result<Value, WriteError> {
    let head = AnswerHead {
        model_name: "m\"",
        model_version: "1",
        id: "",
    };
    let output = OutputTensor {
        name: "y",
        datatype,
        shape,
        form: Form::Json(elements),
    };
    Ok(serde_json::from_slice(&write_answer(&head, &[output])?).unwrap())
}

#[test]
fn an_answer_is_json_and_numbers_without_a_form_are_null() {
    let values = [1.5_f32, f32::NAN, f32::INFINITY, -1e-30];
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let answer = written(Datatype::Fp32, &[2, 2], &dense(&bytes)).unwrap();
    assert_eq!(answer["model_name"], "m\"");
    assert_eq!(answer["outputs"][0]["shape"], json!([2, 2]));
    assert_eq!(answer["outputs"][0]["data"][0], 1.5);
    assert_eq!(answer["outputs"][0]["data"][1], Value::Null);
    assert_eq!(answer["outputs"][0]["data"][2], Value::Null);
    assert!(answer.get("id").is_none() && answer.get("parameters").is_none());
    let texts = Elements::Texts(vec!["a\n".into()]);
    assert_eq!(
        written(Datatype::Bytes, &[1], &texts).unwrap()["outputs"][0]["data"][0],
        "a\n"
    );
    let bytes = Elements::Texts(vec![Bytes::from_static(b"\xff")]);
    assert!(written(Datatype::Bytes, &[1], &bytes).is_err());
}

/// The elements of a request that is long enough to be taken apart.
fn long(datatype: &str, shape: &Value, data: &str) -> Result<Elements, RequestError> {
    let id = "x".repeat(600);
    let body = format!(
        r#"{{"id":"{id}","inputs":[{{"name":"x","data":{data},"shape":{shape},"datatype":"{datatype}"}}]}}"#
    );
    parse_request(body.as_bytes()).map(|mut request| match request.inputs.remove(0).source {
        Source::Json(elements) => elements,
        Source::Binary(_) => Elements::Texts(Vec::new()),
    })
}

#[test]
fn numbers_of_long_requests_are_rounded_as_the_decimal_says() {
    for written in [
        "0",
        "-0",
        "-0.0",
        "1",
        "0.1",
        "-12.5e3",
        "123456789.125",
        "9007199254740993",
        "1e22",
        "1e23",
        "12345678901234567890123",
        "0.000000000000000000000000000001",
        "2.2250738585072014e-308",
        "5e-324",
        "1.7976931348623157e308",
        "0.30000000000000004",
        "8.5e-05",
        "1E+2",
        "100000000",
        "1234567.12345678",
    ] {
        let expected: f64 = written.parse().unwrap();
        let read = long("FP64", &json!([1]), &format!("[ {written}\n]"));
        assert_eq!(read, Ok(dense(&expected.to_le_bytes())), "{written}");
    }
    for (datatype, written, bytes) in [
        ("INT8", "[-128,127,0]", vec![128, 127, 0]),
        (
            "UINT64",
            "[18446744073709551615,0,1]",
            [[255; 8], [0; 8], 1_u64.to_le_bytes()].concat(),
        ),
        ("UINT8", "[[1],[2],[3]]", vec![1, 2, 3]),
    ] {
        let shape = if written.starts_with("[[") {
            json!([3, 1])
        } else {
            json!([3])
        };
        assert_eq!(long(datatype, &shape, written), Ok(dense(&bytes)), "{written}");
    }
}

#[test]
fn what_is_no_number_is_refused_in_long_requests_too() {
    for data in [
        "[01]", "[1.]", "[.5]", "[-]", "[+1]", "[1e]", "[1e999]", "[1,]", "[,1]", "[1 2]", "[[1],2]", "[1",
        "1]", "[0x1]", "[1]]", "[]", "[null]", "[NaN]", "[1,1]", "[[[1]]]", "{}", "[{}]", "3",
    ] {
        assert!(long("FP32", &json!([1]), data).is_err(), "{data}");
    }
    for data in ["[1.0]", "[-0]", "[256]", "[-1]", "[1e0]"] {
        assert!(long("UINT8", &json!([1]), data).is_err(), "{data}");
    }
    // An array elsewhere is not data, whatever it is called.
    let long_id = "x".repeat(600);
    let body = format!(
        r#"{{"id":"{long_id}","data":[7],"inputs":[{{"name":"x","datatype":"UINT8","shape":[1],"d\u0061ta":[0]}}]}}"#
    );
    let read = parse_request(body.as_bytes()).unwrap();
    assert_eq!(read.inputs[0].source, Source::Json(dense(&[0])));
    assert!(parse_request(body.replace("[7]", "[7,]").as_bytes()).is_err());
}

proptest! {
    #[test]
    fn long_requests_are_read_as_short_ones(values in prop::collection::vec(any::<f64>(), 1..50), rows in 1..4_usize) {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let rows: Vec<&[f64]> = values.chunks(values.len().div_ceil(rows).max(1)).collect();
        let width = rows.first().map_or(0, |row| row.len());
        prop_assume!(width > 0 && rows.iter().all(|row| row.len() == width));
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let read = long("FP64", &json!([rows.len(), width]), &json!(rows).to_string());
        prop_assert_eq!(read, Ok(dense(&bytes)));
    }

    #[test]
    fn what_is_written_is_read_back_to_the_bit(values in prop::collection::vec(prop::num::f32::NORMAL, 0..20)) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = [i64::try_from(values.len()).unwrap()];
        let answer = written(Datatype::Fp32, &shape, &dense(&bytes)).unwrap();
        let again = one("FP32", json!(shape), answer["outputs"][0]["data"].clone());
        prop_assert_eq!(again, Ok(dense(&bytes)));
    }

    #[test]
    fn whatever_comes_is_an_error_or_a_request(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let long = [&[b' '; 600][..], &bytes].concat();
        prop_assert_eq!(parse_request(&bytes).is_ok(), parse_request(&long).is_ok());
    }

    #[test]
    fn what_is_written_by_hand_is_read_alike_in_long_and_short_requests(data in "[-+.0-9eE, \\[\\]]{0,12}") {
        let body = format!(r#"{{"inputs":[{{"name":"x","shape":[2],"datatype":"INT16","data":[{data}]}}]}}"#);
        let long = format!("{}{body}", " ".repeat(600));
        let (short, long) = (parse_request(body.as_bytes()).ok(), parse_request(long.as_bytes()).ok());
        prop_assert_eq!(&short, &long);
        let body = body.replace("INT16", "FP32");
        let long = format!("{}{body}", " ".repeat(600));
        prop_assert_eq!(parse_request(body.as_bytes()).ok(), parse_request(long.as_bytes()).ok());
    }
}
