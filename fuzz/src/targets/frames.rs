//! Lengths and layouts below the messages: frames of runners and peers, the blob plane, a partial download.

use fieldmark_blobs::BlobHash;
use fieldmark_net::decoders as net;
use fieldmark_proto::v1::runner_request::Request;
use fieldmark_proto::v1::{
    RunnerInfer, RunnerInferred, RunnerLoad, RunnerLoaded, RunnerRequest, RunnerResponse, SharedRange,
    Tensor, runner_response,
};
use fieldmark_supervisor::decoders::{Window, response};
use prost::Message;

/// Most bytes of a frame here.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// A blob of one group, whose frame is its bytes.
const BLOB: &[u8] = b"a blob of one group";

pub(super) fn runner(bytes: &[u8]) {
    thread_local! {
        static WINDOW: Option<Window> = Window::new().ok();
    }
    WINDOW.with(|window| {
        if let Some(window) = window {
            let _ = response(bytes, FRAME_BYTES_MAX, window);
        }
    });
}

pub(super) fn runners() -> Vec<Vec<u8>> {
    let response = RunnerResponse {
        response: Some(runner_response::Response::Loaded(RunnerLoaded { load_micros: 7 })),
    };
    let shared = Tensor {
        name: "y".to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![2],
        shared: vec![SharedRange {
            offset: 4096,
            bytes: 8,
        }],
        ..Tensor::default()
    };
    let inferred = RunnerResponse {
        response: Some(runner_response::Response::Inferred(RunnerInferred {
            id: 1,
            outputs: vec![shared],
            forward_micros: 3,
        })),
    };
    vec![framed(&response), framed(&inferred), vec![0xff; 8]]
}

/// What the supervisor sends, as a runner reads it.
pub(super) fn supervisor(bytes: &[u8]) {
    let limit = usize::try_from(FRAME_BYTES_MAX).unwrap_or(usize::MAX);
    let _ = fieldmark_sandbox::decoders::request(bytes, limit);
}

pub(super) fn supervisors() -> Vec<Vec<u8>> {
    let numbers = Tensor {
        name: "x".to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![1, 2],
        data: vec![0; 8].into(),
        ..Tensor::default()
    };
    let texts = Tensor {
        name: "t".to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![1],
        texts: vec![b"text".to_vec().into()],
        ..Tensor::default()
    };
    let infer = RunnerInfer {
        id: 1,
        inputs: vec![numbers, texts],
        output_region: Some(SharedRange { offset: 0, bytes: 64 }),
    };
    let load = RunnerLoad {
        artifact_bytes: 9,
        input_names: vec!["x".to_owned()],
        output_names: Vec::new(),
    };
    [Request::Infer(infer), Request::Load(load)]
        .map(|request| {
            framed(&RunnerRequest {
                request: Some(request),
            })
        })
        .to_vec()
}

fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    [length.as_slice(), &bytes].concat()
}

pub(super) fn rpc(bytes: &[u8]) {
    let limit = usize::try_from(FRAME_BYTES_MAX).unwrap_or(usize::MAX);
    if let Some(data) = net::request(bytes, limit) {
        assert_eq!(
            bytes.get(4..),
            Some(data.as_slice()),
            "the frame is the length and the data"
        );
    }
    if let Some(data) = net::response(bytes, limit) {
        assert!(data.len() + 5 == bytes.len());
    }
}

pub(super) fn rpcs() -> Vec<Vec<u8>> {
    vec![
        b"\0\0\0\x05hello".to_vec(),
        b"\0\0\0\0\x05hello".to_vec(),
        b"\x01\0\0\0\0".to_vec(),
        b"\xff\xff\xff\xffx".to_vec(),
    ]
}

pub(super) fn blob_request(bytes: &[u8]) {
    if let Some(again) = fieldmark_blobs::decoders::request(bytes) {
        assert_eq!(again, bytes);
    }
    if let Some(byte) = bytes.first() {
        let again = fieldmark_blobs::decoders::status(*byte);
        assert!(again.is_none_or(|again| again == *byte));
    }
}

pub(super) fn blob_requests() -> Vec<Vec<u8>> {
    let request = |size: u64, first: u32, count: u32| {
        let parts = [
            &[7; 32][..],
            &size.to_be_bytes(),
            &first.to_be_bytes(),
            &count.to_be_bytes(),
        ];
        [&[1], parts.concat().as_slice()].concat()
    };
    vec![
        request(1 << 20, 3, 2),
        request(1, 0, 1),
        request(u64::MAX, u32::MAX, u32::MAX),
    ]
}

/// Eight bytes of size, four of the group's number, and the frame, under the hash of [`BLOB`].
pub(super) fn blob_group(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first_chunk() else {
        return;
    };
    let Some((group, frame)) = rest.split_first_chunk() else {
        return;
    };
    let (size, group) = (u64::from_be_bytes(*size), u32::from_be_bytes(*group));
    let hash = BlobHash(*blake3::hash(BLOB).as_bytes());
    if fieldmark_blobs::decoders::group(&hash, size, group, frame) {
        assert_eq!(frame, BLOB, "only the blob itself has its hash");
    }
}

pub(super) fn blob_groups() -> Vec<Vec<u8>> {
    let of = |size: u64, frame: &[u8]| [&size.to_be_bytes()[..], &[0; 4], frame].concat();
    let length = u64::try_from(BLOB.len()).unwrap_or(u64::MAX);
    vec![
        of(length, BLOB),
        of(200_000, &[1; 200]),
        of(1 << 40, &[2; 64 * 24]),
    ]
}

/// Eight bytes of the size that is expected, then the file.
pub(super) fn bitmap(bytes: &[u8]) {
    let Some((size, file)) = bytes.split_first_chunk() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    if let Some(again) = fieldmark_blobs::decoders::bitmap(file, size) {
        assert_eq!(again, file);
    }
}

pub(super) fn bitmaps() -> Vec<Vec<u8>> {
    let of = |size: u64, bits: &[u8]| {
        let size = size.to_le_bytes();
        [size.as_slice(), b"fmpart01", &size, bits].concat()
    };
    vec![of(10 << 16, &[0xff, 0x01]), of(0, &[]), of(u64::MAX, &[0; 16])]
}
