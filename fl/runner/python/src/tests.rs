//! The bootstrap run by this machine's `python3` without isolation: its codec, its tensors, its failures.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use fieldmark_proto::Message as _;
use fieldmark_proto::v1::{
    RunnerFailureCode, RunnerInfer, RunnerLoad, RunnerRequest, RunnerResponse, RunnerShutdown, SharedRange,
    Tensor, runner_request::Request, runner_response::Response,
};

use super::*;

const PREDICT: &str = r#"
def load(folder):
    return sorted(path.name for path in folder.iterdir())

def predict(model, inputs):
    x = inputs["x"]
    rows = x.tolist()
    if rows and rows[0] and rows[0][0] < 0:
        raise ValueError("negative\nnumbers")
    if rows and rows[0] and rows[0][0] > 1000:
        return {"y": object(), "files": model, "upper": []}
    import array
    y = array.array("f", [value * value for row in rows for value in row])
    return {"y": y, "files": model, "upper": [text.upper() for text in inputs["texts"]]}
"#;

/// The bootstrap in a process of its own, and the supervisor's end of its socket.
struct Served {
    socket: UnixStream,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(predict: &str, arena: Option<&File>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("predict.py"), predict).unwrap();
        let bytes = arena.map_or(0, |file| file.metadata().unwrap().len());
        let settings = json!({
            "frame_bytes_max": 1 << 20, "threads": 1, "arena_bytes": bytes, "package": folder.path(),
            "entry": folder.path().join("predict.py"), "environment": null, "executable": "", "granted": [],
            "variables": [], "isolated": false, "layers": [], "filter": "", "calls": {},
        });
        let (socket, theirs) = UnixStream::pair().unwrap();
        let second = arena
            .map_or_else(|| File::open("/dev/null"), File::try_clone)
            .unwrap();
        // A shell puts the descriptors where the launcher would: they come in as standard input and output.
        let child = Command::new("sh")
            .args([
                "-c",
                "exec 3<&0 4<&1 0</dev/null 1>/dev/null; exec python3 \"$@\"",
                "sh",
            ])
            .args([
                "-I",
                "-S",
                "-B",
                "-c",
                &bootstrap::SERVE.concat(),
                &settings.to_string(),
            ])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(second))
            .spawn()
            .unwrap();
        let mut served = Self {
            socket,
            child,
            _folder: folder,
        };
        assert!(matches!(served.receive(), Response::Ready(ready) if ready.runtime == "python"));
        served
    }

    fn send(&mut self, request: Request) {
        let body = RunnerRequest {
            request: Some(request),
        }
        .encode_to_vec();
        self.socket
            .write_all(&u32::try_from(body.len()).unwrap().to_le_bytes())
            .unwrap();
        self.socket.write_all(&body).unwrap();
    }

    fn receive(&mut self) -> Response {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).unwrap();
        let mut body = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap()];
        self.socket.read_exact(&mut body).unwrap();
        RunnerResponse::decode(body.as_slice()).unwrap().response.unwrap()
    }

    fn load(&mut self) -> Response {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.send(Request::Load(RunnerLoad {
            artifact_bytes: 0,
            input_names: names(&["x", "texts"]),
            output_names: names(&["y", "files", "upper"]),
        }));
        self.receive()
    }

    fn infer(&mut self, inputs: Vec<Tensor>, output_region: Option<SharedRange>) -> Response {
        self.send(Request::Infer(RunnerInfer {
            id: 7,
            inputs,
            output_region,
        }));
        self.receive()
    }
}

fn x(values: &[f32]) -> Tensor {
    Tensor {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: vec![1, i64::try_from(values.len()).unwrap()],
        data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Tensor::default()
    }
}

fn texts(texts: &[&str]) -> Tensor {
    Tensor {
        name: "texts".into(),
        datatype: "BYTES".into(),
        shape: vec![i64::try_from(texts.len()).unwrap()],
        texts: texts.iter().map(|text| text.as_bytes().to_vec().into()).collect(),
        ..Tensor::default()
    }
}

#[test]
fn a_model_is_loaded_and_answers_by_name() {
    let mut served = Served::start(PREDICT, None);
    assert!(matches!(served.load(), Response::Loaded(_)));
    let Response::Inferred(answer) = served.infer(vec![x(&[2.0, 3.0]), texts(&["a", "ß"])], None) else {
        panic!("an answer is expected")
    };
    assert_eq!(answer.id, 7);
    let [y, files, upper] = answer.outputs.as_slice() else {
        panic!("{answer:?}")
    };
    assert_eq!((y.datatype.as_str(), y.shape.as_slice()), ("FP32", &[2][..]));
    assert_eq!(y.data[..4], 4.0_f32.to_le_bytes());
    assert_eq!(files.texts, [b"predict.py".to_vec()]);
    assert_eq!(upper.texts, [b"A".to_vec(), b"SS".to_vec()]);
    served.send(Request::Shutdown(RunnerShutdown {}));
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn what_goes_wrong_is_one_line_with_the_right_blame_and_service_goes_on() {
    let mut served = Served::start(PREDICT, None);
    served.load();
    let cases = [
        (
            vec![x(&[-1.0]), texts(&[])],
            RunnerFailureCode::Model,
            "ValueError: negative numbers (predict.py, line 9)",
        ),
        (
            vec![x(&[2000.0]), texts(&[])],
            RunnerFailureCode::Output,
            "'y' is a object",
        ),
        (vec![x(&[1.0])], RunnerFailureCode::Input, "'texts' is missing"),
        (
            vec![x(&[1.0]), x(&[1.0])],
            RunnerFailureCode::Input,
            "given twice",
        ),
        (
            vec![Tensor {
                shape: vec![3],
                ..x(&[1.0])
            }],
            RunnerFailureCode::Input,
            "takes 12 bytes, 4 given",
        ),
        (
            vec![Tensor {
                shape: vec![-1],
                ..x(&[1.0])
            }],
            RunnerFailureCode::Input,
            "negative extent",
        ),
        (
            vec![Tensor {
                datatype: "FP128".into(),
                ..x(&[1.0])
            }],
            RunnerFailureCode::Input,
            "FP128",
        ),
        (
            vec![Tensor {
                name: "z".into(),
                ..x(&[1.0])
            }],
            RunnerFailureCode::Input,
            "not one of x, texts",
        ),
    ];
    for (inputs, code, sign) in cases {
        let Response::Failed(failed) = served.infer(inputs, None) else {
            panic!("{sign}")
        };
        assert_eq!(failed.code(), code, "{}", failed.message);
        assert!(
            failed.message.contains(sign) && !failed.message.contains('\n'),
            "{}",
            failed.message
        );
    }
    assert!(matches!(
        served.infer(vec![x(&[1.0]), texts(&[])], None),
        Response::Inferred(_)
    ));
    // What is no message ends the process, with a word on standard error.
    served.socket.write_all(&[2, 0, 0, 0, 0xff, 0xff]).unwrap();
    assert_eq!(served.child.wait().unwrap().code(), Some(4));
}

#[test]
fn a_package_that_does_not_load_says_why() {
    for (predict, sign) in [
        ("import nothing_of_this_name\n", "ModuleNotFoundError"),
        ("x = 1\n", "no function predict"),
        (
            "def predict(model, inputs):\n    pass\ndef load(folder):\n    raise SystemExit(3)\n",
            "SystemExit: 3 (predict.py",
        ),
        ("def predict(:\n", "SyntaxError"),
    ] {
        let mut served = Served::start(predict, None);
        let Response::Failed(failed) = served.load() else {
            panic!("{sign}")
        };
        assert_eq!(failed.code(), RunnerFailureCode::Artifact);
        assert!(failed.message.contains(sign), "{}", failed.message);
    }
}

#[test]
fn large_tensors_travel_in_shared_memory() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    let predict = "def predict(model, inputs):\n    import array\n    n = len(inputs['x'].data)\n    \
                   return {'y': array.array('f', [2.5]) * n, 'files': [str(n)], 'upper': [1]}\n";
    let mut served = Served::start(predict, Some(&file));
    served.load();
    let range = |offset, bytes| SharedRange { offset, bytes };
    let shared = |parts: Vec<SharedRange>| Tensor {
        data: Vec::new().into(),
        shape: vec![20_000],
        shared: parts,
        ..x(&[])
    };
    let halves = shared(vec![range(0, 40_000), range(100_000, 40_000)]);
    let region = Some(range(400_001, 200_000));
    let Response::Inferred(answer) = served.infer(vec![halves, texts(&[])], region) else {
        panic!("an answer is expected")
    };
    assert_eq!(answer.outputs[0].shared, [range(400_008, 80_000)]);
    assert!(answer.outputs[0].data.is_empty());
    let mut found = [0; 4];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, 400_008 + 79_996).unwrap();
    assert_eq!(f32::from_le_bytes(found), 2.5);
    let outside = shared(vec![range(1 << 20, 80_000)]);
    let Response::Failed(failed) = served.infer(vec![outside, texts(&[])], None) else {
        panic!("a refusal is expected")
    };
    assert!(
        failed.message.contains("outside of the shared memory"),
        "{}",
        failed.message
    );
}
