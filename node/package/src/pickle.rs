//! Tells pickles from files without code. A TorchScript archive holds pickled tensors too, but libtorch
//! reads those with a reader that knows tensors only; a checkpoint of `torch.save` is read by Python's,
//! which runs what it finds.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;

use crate::PackageError;

/// Endings that pickles commonly have.
const ENDINGS: [&str; 5] = ["pkl", "pickle", "joblib", "dill", "cloudpickle"];
/// Bytes of a member looked at: more than the header of an NPY array.
const START_BYTES: u64 = 4096;
/// Most members of an archive that is looked through.
const MEMBERS_MAX: usize = 100_000;

/// Refuses a file that is or holds a pickle.
pub(crate) fn refuse(path: &Path) -> Result<(), PackageError> {
    let refused = |found, fix| {
        Err(PackageError::Pickle {
            path: path.to_owned(),
            found,
            fix,
        })
    };
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .map(str::to_ascii_lowercase);
    let save_otherwise = "save weights as safetensors, arrays as numbers, or the model with torch.jit.trace";
    if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
        return refused("a pickle, by its name", save_otherwise);
    }
    let mut file = BufReader::new(File::open(path).map_err(PackageError::io(path))?);
    let start = start_of(&mut file).map_err(PackageError::io(path))?;
    if matches!(start.as_slice(), [0x80, 2..=5, ..]) {
        return refused("a pickle, by its first bytes", save_otherwise);
    }
    if fieldmark_node_data::holds_pickle(&start) {
        return refused(
            "an array of Python objects",
            "convert it to numbers or text before saving",
        );
    }
    if start.starts_with(b"PK") {
        file.seek(SeekFrom::Start(0)).map_err(PackageError::io(path))?;
        // What is no archive after all is no pickle either.
        if let Ok(archive) = ZipArchive::new(file) {
            return refuse_archive(path, archive);
        }
    }
    Ok(())
}

fn refuse_archive<R: Read + Seek>(path: &Path, mut archive: ZipArchive<R>) -> Result<(), PackageError> {
    let refused = |found, fix| {
        Err(PackageError::Pickle {
            path: path.to_owned(),
            found,
            fix,
        })
    };
    if archive.len() > MEMBERS_MAX {
        let detail = format!("the archive has more than {MEMBERS_MAX} members");
        return Err(PackageError::File {
            path: path.to_owned(),
            detail,
        });
    }
    let unread = |at: usize, error: &dyn std::fmt::Display| PackageError::File {
        path: path.to_owned(),
        detail: format!(
            "member {at} of the archive cannot be looked into ({error}); write the archive again"
        ),
    };
    let (mut pickled, mut code, mut constants) = (false, false, false);
    for at in 0..archive.len() {
        // The name is there even where the content cannot be read.
        let member = archive.by_index_raw(at).map_err(|error| unread(at, &error))?;
        let name = String::from_utf8_lossy(member.name_raw()).into_owned();
        drop(member);
        pickled |= name.ends_with(".pkl") || name.ends_with(".pickle");
        code |= name.contains("/code/");
        constants |= name.ends_with("/constants.pkl");
        if !name.ends_with(".npy") {
            continue;
        }
        let mut member = archive.by_index(at).map_err(|error| unread(at, &error))?;
        let start = start_of(&mut member).map_err(|error| unread(at, &error))?;
        if fieldmark_node_data::holds_pickle(&start) {
            return refused(
                "an archive with an array of Python objects",
                "convert it to numbers or text",
            );
        }
    }
    if pickled && !(code && constants) {
        return refused(
            "a checkpoint of torch.save or another archive with pickles",
            "save the model with torch.jit.trace(…).save(…), or its weights as safetensors",
        );
    }
    Ok(())
}

fn start_of(source: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    source.take(START_BYTES).read_to_end(&mut start)?;
    Ok(start)
}
