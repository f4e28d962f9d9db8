//! The place of ONNX Runtime's library is compiled in, so that a change of it compiles anew.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FIELDMARK_ONNXRUNTIME");
}
