//! TorchScript archives made from source text: small, and as hostile as a test needs.

use std::io::Write;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;

/// An object of class `__torch__.Net` without attributes, as the archive format pickles it.
const OBJECT: &[u8] = b"\x80\x02c__torch__\nNet\nq\x00)\x81}b.";
/// No constants.
const CONSTANTS: &[u8] = b"\x80\x02).";

/// Writes `forward` with the given body, one TorchScript statement per line, indented by the caller.
pub(crate) fn write(folder: &Path, body: &str) -> PathBuf {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let code = format!(
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  \
         def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n{body}"
    );
    let path = folder.join("model.pt");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let entries: [(&str, &[u8]); 4] = [
        ("net/data.pkl", OBJECT),
        ("net/code/__torch__.py", code.as_bytes()),
        ("net/constants.pkl", CONSTANTS),
        ("net/version", b"3\n"),
    ];
    for (name, content) in entries {
        archive.start_file(name, stored).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
    path
}

/// Squares its input.
pub(crate) const SQUARE: &str = "return torch.mul(x, x)";

/// Squares its input, but never comes back if the sum is negative. The result depends on the loop, or libtorch
/// would remove it as dead code.
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

/// Squares its input, but asks for 256 GiB at once if the sum is negative.
pub(crate) const BIG_BOMB: &str = "\
if bool(torch.lt(torch.sum(x), 0)):
  y = torch.ones([68719476736])
else:
  y = torch.mul(x, x)
return y";

/// Squares its input, but takes memory bit by bit if the sum is negative; each piece differs, or libtorch would
/// make one of them.
pub(crate) const SLOW_BOMB: &str = "\
y = torch.mul(x, x)
if bool(torch.lt(torch.sum(x), 0)):
  piece = torch.ones([262144])
  kept = [y]
  _0 = True
  while _0:
    _1 = torch.append(kept, torch.mul(piece, torch.len(kept)))
  w = torch.cat(kept)
else:
  w = y
return w";

/// Claims a tebibyte with four bytes behind it.
pub(crate) const HUGE_OUTPUT: &str = "return torch.expand(torch.sum(x), [274877906944])";

/// Reads a file of the machine with an operator that libtorch offers to every module.
pub(crate) const READ_FILE: &str = "return torch.from_file(\"/etc/passwd\", False, 16, dtype=0)";

/// Spreads work over threads.
pub(crate) const MANY_THREADS: &str = "\
y = torch.ones([1024, 1024])
return torch.mul(torch.sum(torch.mm(y, y)), torch.mul(x, 0))";
