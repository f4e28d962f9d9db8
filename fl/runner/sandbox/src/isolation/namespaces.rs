//! Verifies that the launcher made namespaces: the runner does not trust that it was started as it should be.

use super::{LayerError, Network};

/// Links in `/proc/self/ns` that must differ from the launcher's, with the layer's name.
const REQUIRED: [(&str, &str); 6] = [
    ("user", "user-namespace"),
    ("pid", "pid-namespace"),
    ("net", "network-namespace"),
    ("ipc", "ipc-namespace"),
    ("mnt", "mount-namespace"),
    ("uts", "uts-namespace"),
];

/// Compares this process's namespaces with the launcher's, given as `user=INODE,…`.
pub(super) fn verify(outside: Option<&str>, network: Network) -> Result<Vec<String>, LayerError> {
    let outside = outside.ok_or_else(|| {
        LayerError::new(
            "user-namespace",
            "looking for --outside",
            "not started by the launcher",
        )
    })?;
    let required = || {
        let shared = |link: &str| link == "net" && network == Network::Host;
        REQUIRED.iter().filter(move |(link, _)| !shared(link))
    };
    for (link, layer) in required() {
        let theirs = inode_of(outside, link)
            .ok_or_else(|| LayerError::new(layer, "reading --outside", format!("it does not say {link}")))?;
        let path = format!("/proc/self/ns/{link}");
        let own = std::fs::read_link(&path)
            .map_err(|error| LayerError::new(layer, format!("reading {path} (is /proc mounted?)"), error))?;
        if own.to_string_lossy() == format!("{link}:[{theirs}]") {
            return Err(LayerError::new(
                layer,
                "comparing with the launcher's",
                "they are the same",
            ));
        }
    }
    if std::process::id() != 1 {
        return Err(LayerError::new(
            "pid-namespace",
            "looking for process 1",
            "this process is not it",
        ));
    }
    Ok(required().map(|(_, layer)| (*layer).to_owned()).collect())
}

fn inode_of<'a>(listed: &'a str, link: &str) -> Option<&'a str> {
    listed
        .split(',')
        .filter_map(|entry| entry.split_once('='))
        .find_map(|(name, inode)| (name == link && !inode.is_empty()).then_some(inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_in_its_starters_namespaces_refuses() {
        let own: Vec<String> = REQUIRED
            .iter()
            .map(|(link, _)| {
                let target = std::fs::read_link(format!("/proc/self/ns/{link}")).unwrap();
                let target = target.to_string_lossy().into_owned();
                format!("{link}={}", target.split(['[', ']']).nth(1).unwrap())
            })
            .collect();
        let error = verify(Some(&own.join(",")), Network::None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("user-namespace"), "{error}");
    }

    #[test]
    fn a_runner_without_a_launcher_refuses() {
        assert!(
            verify(None, Network::None)
                .unwrap_err()
                .to_string()
                .contains("not started by the launcher")
        );
        assert!(verify(Some("user="), Network::None).is_err());
    }
}
