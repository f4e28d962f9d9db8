//! TorchScript archives: the signature of `forward` from the code they hold, the datatypes of their weights, and,
//! where the module was traced, the shapes of the inputs it was traced with.
//!
//! The archive is a zip of `ROOT/data.pkl` (the module), `ROOT/code/…` (its classes as source text) and weights.
//! The pickle is not run: the class of the module is the first name in it, and the kinds of storage are names in it
//! too, so both are found as text. The code says which arguments `forward` takes and what it returns; it says
//! nothing about sizes, nor about datatypes of tensors.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use zip::ZipArchive;

use super::pickled::{self, Described};
use super::{CODE_BYTES_MAX, Finding, InspectError, Slot, TENSORS_MAX};

/// Most members of an archive that is looked through.
const MEMBERS_MAX: usize = 100_000;
/// Storage classes in a pickle, and their Open Inference Protocol datatypes.
const STORAGES: [(&str, &str); 9] = [
    ("FloatStorage", "FP32"),
    ("DoubleStorage", "FP64"),
    ("HalfStorage", "FP16"),
    ("BFloat16Storage", "BF16"),
    ("LongStorage", "INT64"),
    ("IntStorage", "INT32"),
    ("CharStorage", "INT8"),
    ("ByteStorage", "UINT8"),
    ("BoolStorage", "BOOL"),
];

/// Reads the signature of `forward`.
pub(super) fn inspect(source: impl Read + Seek) -> Result<Finding, InspectError> {
    let mut archive = ZipArchive::new(source).map_err(|error| format(error.to_string()))?;
    let root = root(&archive)?;
    let pickle = member(&mut archive, &format!("{root}/data.pkl"))?;
    let (module, class) = class_of(&pickle).ok_or_else(|| {
        format("data.pkl holds no scripted module; save the model with torch.jit.trace(…).save(…)".to_owned())
    })?;
    let path = format!("{root}/code/{}.py", module.replace('.', "/"));
    let code = member(&mut archive, &path)?;
    let code = String::from_utf8(code).map_err(|_| format(format!("{path} is not text")))?;
    let signature = signature(&code, &class)
        .ok_or_else(|| InspectError::Refused(format!("class {class} in {path} has no method forward")))?;
    let traced = member(&mut archive, &format!("{root}/traced_inputs.pkl"));
    let traced = traced.map(|pickle| pickled::tensors(&pickle)).unwrap_or_default();
    let mut inputs = inputs(&signature)?;
    let mut facts = facts(&class, &pickle);
    if fill_in(&mut inputs, &traced) {
        facts.push("inputs: as the module was traced".to_owned());
    }
    Ok(Finding {
        runtime: "torchscript",
        inputs,
        outputs: outputs(&signature.returns),
        facts,
    })
}

/// Fills in what the module was traced with, if that is one tensor for each input. The first size is the batch.
fn fill_in(inputs: &mut [Slot], traced: &[Described]) -> bool {
    let datatype = |storage: &str| {
        STORAGES
            .iter()
            .find(|(name, _)| *name == storage)
            .map(|(_, datatype)| *datatype)
    };
    let datatypes: Vec<&str> = traced
        .iter()
        .filter_map(|tensor| datatype(&tensor.storage))
        .collect();
    if inputs.len() != traced.len() || datatypes.len() != traced.len() {
        return false;
    }
    for ((input, tensor), datatype) in inputs.iter_mut().zip(traced).zip(datatypes) {
        let mut shape = tensor.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = -1;
        }
        let fits = shape.iter().all(|size| *size != 0);
        (input.datatype, input.shape) = (Some(datatype.to_owned()), fits.then_some(shape));
    }
    true
}

fn format(detail: String) -> InspectError {
    InspectError::Format {
        format: "TorchScript archive",
        detail,
    }
}

/// The folder that holds everything.
fn root<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<String, InspectError> {
    if archive.len() > MEMBERS_MAX {
        return Err(format(format!("it has more than {MEMBERS_MAX} members")));
    }
    let mut names = archive.file_names().flatten();
    let root = names.find_map(|name| Some(name.strip_suffix("/data.pkl")?.to_owned()));
    let root = root.filter(|root| !root.is_empty() && !root.contains('/'));
    root.ok_or_else(|| format("it holds no data.pkl in one folder".to_owned()))
}

fn member<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str) -> Result<Vec<u8>, InspectError> {
    let member = archive
        .by_name(name)
        .map_err(|error| format(format!("{name}: {error}")))?;
    let mut content = Vec::new();
    member
        .take(CODE_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(|error| format(format!("{name}: {error}")))?;
    if content.len() as u64 > CODE_BYTES_MAX {
        return Err(format(format!("{name} has more than {CODE_BYTES_MAX} bytes")));
    }
    Ok(content)
}

/// Module path and name of the first class named in a pickle, if it is a scripted one.
fn class_of(pickle: &[u8]) -> Option<(String, String)> {
    let start = pickle.get(..4096.min(pickle.len()))?;
    let at = start.windows(10).position(|window| window == b"c__torch__")?;
    let mut names = start.get(at + 1..)?.split(|byte| *byte == b'\n');
    let mut name = || {
        let name = std::str::from_utf8(names.next()?).ok()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        (!name.is_empty() && name.chars().all(fits)).then(|| name.to_owned())
    };
    Some((name()?, name()?))
}

/// `forward` as the code declares it.
struct Signature {
    /// Name and type of each argument, without `self`.
    arguments: Vec<(String, String)>,
    /// Type of what it returns.
    returns: String,
}

fn signature(code: &str, class: &str) -> Option<Signature> {
    let body = code.split(&format!("class {class}(")).nth(1)?;
    let body = body.split("\nclass ").next()?;
    let after = body.split("def forward(").nth(1)?;
    let (arguments, rest) = to_closing(after)?;
    let returns = rest.trim_start().strip_prefix("->")?;
    let returns = returns.get(..returns.find(":\n").or_else(|| returns.find(':'))?)?;
    let arguments = split_at_commas(arguments);
    let named = arguments.iter().skip(1).filter_map(|argument| {
        let (name, kind) = argument.split_once(':')?;
        let kind = kind.split('=').next().unwrap_or(kind);
        Some((name.trim().to_owned(), spaceless(kind)))
    });
    Some(Signature {
        arguments: named.collect(),
        returns: spaceless(returns),
    })
}

fn spaceless(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Text up to the bracket that closes the one before it, and what follows.
fn to_closing(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
    }
    None
}

/// Parts between commas outside of brackets.
fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(from..).filter(|rest| !rest.trim().is_empty()));
    parts
}

fn inputs(signature: &Signature) -> Result<Vec<Slot>, InspectError> {
    let count = signature.arguments.len();
    if count == 0 || count > TENSORS_MAX {
        return Err(InspectError::Refused(format!(
            "forward takes {count} inputs, 1 to {TENSORS_MAX} are served"
        )));
    }
    let slot = |(name, kind): &(String, String)| match kind.as_str() {
        "Tensor" | "Optional[Tensor]" => Ok(Slot {
            name: name.clone(),
            datatype: None,
            shape: None,
        }),
        "List[str]" => Ok(Slot {
            name: name.clone(),
            datatype: Some("BYTES".to_owned()),
            shape: Some(vec![-1]),
        }),
        other => Err(InspectError::Refused(format!(
            "forward's argument '{name}' is {other}; tensors and List[str] are served: wrap the model in one that \
             takes these"
        ))),
    };
    signature.arguments.iter().map(slot).collect()
}

/// What is returned; nothing where the code does not tell how much.
fn outputs(returns: &str) -> Vec<Slot> {
    let open = |name: String| Slot {
        name,
        datatype: None,
        shape: None,
    };
    let texts = |name: String| Slot {
        name,
        datatype: Some("BYTES".to_owned()),
        shape: Some(vec![-1]),
    };
    let one = |name: String, kind: &str| match kind {
        "str" | "List[str]" => texts(name),
        _ => open(name),
    };
    if let Some(inner) = returns
        .strip_prefix("Tuple[")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let parts = split_at_commas(inner);
        return parts
            .iter()
            .enumerate()
            .map(|(at, kind)| one(format!("output_{at}"), kind))
            .collect();
    }
    match returns {
        "Tensor" | "List[str]" | "str" => vec![one("output".to_owned(), returns)],
        _ => Vec::new(),
    }
}

fn facts(class: &str, pickle: &[u8]) -> Vec<String> {
    let named = |storage: &str| {
        let text = format!("ctorch\n{storage}\n");
        pickle.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let datatypes: BTreeSet<&str> = STORAGES
        .iter()
        .filter(|(storage, _)| named(storage))
        .map(|(_, datatype)| *datatype)
        .collect();
    let mut facts = vec![format!("module: {class}")];
    if !datatypes.is_empty() {
        facts.push(format!(
            "weights: {}",
            datatypes.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write as _};

    fn archive(forward: &str) -> Cursor<Vec<u8>> {
        let code = format!(
            "class Other(Module):\n  def forward(self) -> int:\n    return 1\nclass Net(Module):\n  {forward}\n"
        );
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let pickle = b"\x80\x02c__torch__.acme.nets\nNet\nq\x00)\x81}(X\x01\x00\x00\x00w((X\x07ctorch\nHalfStorage\nb.";
        for (name, content) in [
            ("net/data.pkl", pickle.as_slice()),
            ("net/code/__torch__/acme/nets.py", code.as_bytes()),
            ("net/constants.pkl", b"\x80\x02)."),
        ] {
            archive
                .start_file(name, zip::write::SimpleFileOptions::default())
                .unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap()
    }

    #[test]
    fn a_signature_is_read_from_the_code() {
        let forward = "def forward(self: __torch__.acme.nets.Net,\n    image: Tensor,\n    texts: List[str],\n    \
                       mask: Optional[Tensor]=None) -> Tuple[Tensor, List[str]]:\n    return (image, texts)";
        let found = inspect(archive(forward)).unwrap();
        let names: Vec<&str> = found.inputs.iter().map(|slot| slot.name.as_str()).collect();
        assert_eq!(names, ["image", "texts", "mask"]);
        assert_eq!(found.inputs[1].datatype.as_deref(), Some("BYTES"));
        assert_eq!(found.outputs.len(), 2);
        assert_eq!(found.outputs[1].shape, Some(vec![-1]));
        assert!(
            found.facts.contains(&"weights: FP16".to_owned()),
            "{:?}",
            found.facts
        );
        let one = inspect(archive(
            "def forward(self,\n    x: Tensor) -> Tensor:\n    return x",
        ))
        .unwrap();
        assert_eq!(one.outputs[0].name, "output");
        let many = inspect(archive(
            "def forward(self,\n    x: Tensor) -> Dict[str, Tensor]:\n    return x",
        ))
        .unwrap();
        assert!(many.outputs.is_empty());
    }

    #[test]
    fn arguments_that_no_request_can_carry_are_named() {
        let error = inspect(archive("def forward(self,\n    k: int) -> Tensor:\n    return x")).unwrap_err();
        assert!(error.to_string().contains("'k' is int"), "{error}");
        assert!(inspect(Cursor::new(b"PK\x03\x04".to_vec())).is_err());
    }
}
