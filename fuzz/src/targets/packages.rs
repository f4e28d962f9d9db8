//! What strangers' packages hold: artifacts that are looked into, and locked requirements.

use std::io::{Cursor, Write as _};

use fieldmark_package::inspect;
use fieldmark_package::python::Lock;

pub(super) fn onnx(bytes: &[u8]) {
    if let Ok(found) = inspect::onnx(bytes) {
        assert!(!found.inputs.is_empty() && !found.outputs.is_empty());
    }
}

pub(super) fn onnx_models() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../../tests/fixtures/reference/dynamic/model.onnx").to_vec(),
        include_bytes!("../../../tests/fixtures/reference/unsigned/model.onnx").to_vec(),
    ]
}

pub(super) fn torchscript(bytes: &[u8]) {
    if let Ok(found) = inspect::torchscript(Cursor::new(bytes)) {
        assert!(!found.inputs.is_empty());
    }
}

/// Archives of this length are mutated many times a second, those with weights are not.
pub(super) fn torchscript_archives() -> Vec<Vec<u8>> {
    let code = "class Net(Module):\n  def forward(self: __torch__.Net,\n    x: Tensor,\n    t: List[str]) -> \
                Tuple[Tensor, List[str]]:\n    return (x, t)\n";
    let traced: &[u8] = b"\x80\x02}X\x07\x00\x00\x00forward(ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage\
        ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x80tQK\x00K\x02K@\x86K@K\x01\x86\x89)tRts.";
    let archive = |pickle: &[u8]| {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let members: [(&str, &[u8]); 3] = [
            ("net/data.pkl", pickle),
            ("net/code/__torch__.py", code.as_bytes()),
            ("net/traced_inputs.pkl", traced),
        ];
        for (name, content) in members {
            let started = archive.start_file(name, zip::write::SimpleFileOptions::default());
            // Writing to memory does not fail; an archive cut short is an input as well.
            drop(started.map(|()| archive.write_all(content)));
        }
        archive.finish().map(Cursor::into_inner).unwrap_or_default()
    };
    vec![
        archive(b"\x80\x02c__torch__\nNet\n)\x81}b."),
        archive(b"\x80\x02cos\nsystem\n."),
    ]
}

pub(super) fn requirements(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(lock) = Lock::parse(&text) {
        assert_eq!(Lock::parse(&lock.canonical()).as_ref(), Ok(&lock));
    }
}

pub(super) fn all_requirements() -> Vec<Vec<u8>> {
    let hash = "a".repeat(64);
    vec![
        format!("numpy==2.1.0 \\\n    --hash=sha256:{hash}\n    # via x\n").into(),
        format!("a[b,c]==1!2.0+x ; python_version >= \"3.9\" --hash=sha256:{hash} --hash=sha256:{hash}\n")
            .into(),
        b"-e .\n--index-url https://example.org\nnumpy @ https://example.org\n".to_vec(),
    ]
}
