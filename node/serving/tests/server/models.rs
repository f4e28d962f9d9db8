//! Models made from source text, and what is needed to serve them.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use fieldmark_serving::{PoolOptions, Servable, TensorSpec};
use fieldmark_supervisor::{RunnerSpec, SupervisorConfig};
use zip::write::SimpleFileOptions;

/// Squares its input.
pub(crate) const SQUARE: &str = "return torch.mul(x, x)";

/// Three times its input.
pub(crate) const TRIPLE: &str = "return torch.mul(x, 3)";

/// Squares its input, but never comes back if the sum is negative.
pub(crate) const SPIN: &str = "\
y = torch.mul(x, x)
if bool(torch.lt(torch.sum(x), 0)):
  _0 = True
  z = y
  while _0:
    z = torch.add(z, 1)
  w = z
else:
  w = y
return w";

/// Squares its input, but raises an exception if a value is negative.
pub(crate) const PICKY: &str = "\
if bool(torch.lt(torch.min(x), 0)):
  y = torch.mm(x, x)
else:
  y = torch.mul(x, x)
return y";

/// One record for any number of records.
pub(crate) const SUM: &str = "return torch.expand(torch.reshape(torch.sum(x), [1, 1]), [1, 2])";

/// A TorchScript archive as `torch.jit.save` lays it out, for a module without weights.
fn archive(path: &Path, body: &str) {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let code = format!(
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  \
         def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n{body}"
    );
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let entries: [(&str, &[u8]); 4] = [
        ("net/data.pkl", b"\x80\x02c__torch__\nNet\nq\x00)\x81}b."),
        ("net/code/__torch__.py", code.as_bytes()),
        ("net/constants.pkl", b"\x80\x02)."),
        ("net/version", b"3\n"),
    ];
    for (name, content) in entries {
        archive.start_file(name, stored).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
}

/// A model `net` of a version that takes and returns records of two numbers.
pub(crate) fn net(folder: &Path, version: &str, body: &str, options: PoolOptions) -> Servable {
    let path = folder.join(format!("net-{version}.pt"));
    archive(&path, body);
    let mut config = SupervisorConfig::beside_current_exe().unwrap();
    config.limits.memory_bytes_max = 512 << 20;
    config.limits.request_timeout = Duration::from_secs(2);
    let spec = |name: &str| TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape: vec![-1, 2],
    };
    Servable {
        name: "net".into(),
        version: version.into(),
        platform: "torchscript".into(),
        inputs: vec![spec("x")],
        outputs: vec![spec("y")],
        labels: vec!["left".into(), "right".into()],
        spec: RunnerSpec::new(format!("net@{version}"), path)
            .inputs(["x"])
            .outputs(["y"]),
        config,
        options,
        observer: None,
    }
}
