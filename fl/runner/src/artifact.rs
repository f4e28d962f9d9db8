//! Turns the artifact's bytes into a module, or says why it is none.

use crate::thrown;
use fieldmark_sandbox::Failure;
use fieldmark_sandbox::FailureCode::{self, Artifact};
use std::io::{Cursor, Read};
use tch::{CModule, Device};

/// A zip archive's first local header.
const ZIP: &[u8] = b"PK\x03\x04";

/// Loads the TorchScript archive that `artifact` yields, onto `device`.
pub(crate) fn load(artifact: &mut dyn Read, device: Device) -> Result<CModule, Failure> {
    let mut start = Vec::with_capacity(ZIP.len());
    artifact
        .take(4)
        .read_to_end(&mut start)
        .map_err(|error| Failure::new(FailureCode::Protocol, format!("receiving the artifact: {error}")))?;
    if start != ZIP {
        return Err(Failure::new(Artifact, describe(&start)));
    }
    let mut archive = Cursor::new(start).chain(artifact);
    let mut module = CModule::load_data_on_device(&mut archive, device).map_err(|error| {
        let failure = thrown(Artifact, &error);
        let message = match failure.code {
            Artifact => format!("the archive is not a TorchScript module: {}", failure.message),
            _ => failure.message,
        };
        Failure::new(failure.code, message)
    })?;
    module.f_set_eval().map_err(|error| thrown(Artifact, &error))?;
    Ok(module)
}

fn describe(start: &[u8]) -> String {
    let found = match start {
        [] => "it is empty".to_owned(),
        [0x80, ..] => "it looks like a Python pickle, which can run code and is never loaded".to_owned(),
        bytes => {
            let listed: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("it starts with the bytes {}", listed.join(" "))
        }
    };
    format!("the artifact is not a TorchScript archive: {found}; save it with torch.jit.save")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_named() {
        for (bytes, sign) in [
            (&b""[..], "empty"),
            (&b"\x80\x02}q"[..], "pickle"),
            (&b"hello world"[..], "68 65 6c 6c"),
        ] {
            let failure = load(&mut Cursor::new(bytes), Device::Cpu).unwrap_err();
            assert_eq!(failure.code, Artifact);
            assert!(failure.message.contains(sign), "{}", failure.message);
        }
    }

    #[test]
    fn an_archive_without_a_module_is_named() {
        // An empty zip archive behind a local header's signature.
        let failure = load(
            &mut b"PK\x03\x04 and nothing that follows".as_slice(),
            Device::Cpu,
        )
        .unwrap_err();
        assert_eq!(failure.code, Artifact);
    }
}
