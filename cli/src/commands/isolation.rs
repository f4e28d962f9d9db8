//! Whether models may run without isolation: only where the data folder's policy says so.

use anyhow::bail;
use fieldmark_node::home::{Home, HomeError};
use fieldmark_supervisor::Isolation;

use crate::args::{Global, IsolationArg};
use crate::client::data_dir;

/// What permits it, in `config.toml`.
const SETTING: &str = "`allow_isolation_off = true` under [policy]";

/// What `asked` means under the policy of the data folder; without a data folder nothing is permitted.
///
/// # Errors
/// If `off` is asked for and not permitted, or the data folder cannot be read.
pub(crate) fn permitted(global: &Global, asked: IsolationArg) -> anyhow::Result<Isolation> {
    if asked == IsolationArg::Required {
        return Ok(Isolation::Required);
    }
    let dir = data_dir(global)?;
    match Home::open(&dir) {
        Ok(home) => of(&home, asked),
        Err(HomeError::Missing { .. }) => bail!(
            "--isolation=off is refused: {} is no data folder, whose policy could permit it; make one with \
             `fieldmark init` and put {SETTING} into its config.toml",
            dir.display()
        ),
        Err(error) => Err(error.into()),
    }
}

/// What `asked` means under the policy of `home`.
///
/// # Errors
/// If `off` is asked for and not permitted.
pub(crate) fn of(home: &Home, asked: IsolationArg) -> anyhow::Result<Isolation> {
    match asked {
        IsolationArg::Required => Ok(Isolation::Required),
        IsolationArg::Off if home.config.policy.allow_isolation_off => Ok(Isolation::Off),
        IsolationArg::Off => bail!(
            "--isolation=off is refused by the policy of {}: a model could do whatever you can do; to permit it, \
             put {SETTING} into its config.toml",
            home.path().display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_node::home::InitOptions;

    #[test]
    fn isolation_is_switched_off_only_where_the_policy_permits_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mut home = Home::create(&path, InitOptions::default()).unwrap();
        assert_eq!(of(&home, IsolationArg::Required).unwrap(), Isolation::Required);
        let refused = of(&home, IsolationArg::Off).unwrap_err().to_string();
        assert!(refused.contains("allow_isolation_off"), "{refused}");
        home.config.policy.allow_isolation_off = true;
        assert_eq!(of(&home, IsolationArg::Off).unwrap(), Isolation::Off);
    }
}
