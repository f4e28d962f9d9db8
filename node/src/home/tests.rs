//! Data folders: fresh, foreign, damaged, readable by others.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let options = InitOptions {
        name: Some("Acme".into()),
        ..InitOptions::default()
    };
    Home::create(&path, options).unwrap();
    (dir, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_new_folder_is_private_and_loads_again() {
    let (_dir, path) = fresh();
    assert_eq!(mode(&path), 0o700);
    for name in SECRET_FILES {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
    let (first, second) = (Home::open(&path).unwrap(), Home::open(&path).unwrap());
    assert_eq!(first.identity.public(), second.identity.public());
    assert_ne!(first.identity.public(), first.node_key.public());
    assert_eq!(first.config.name, "Acme");
    assert_eq!(first.token().len(), 64);
    assert!(!format!("{first:?}").contains(first.token()));
}

#[test]
fn limits_are_read_by_name_and_checked() {
    let (_dir, path) = fresh();
    let file = path.join(CONFIG);
    let with = |limits: &str| {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n{limits}")).unwrap();
        let found = Home::config_of(&path);
        fs::write(&file, text).unwrap();
        found
    };
    let found =
        with("[limits.\"*\"]\nthreads = 2\n[limits.\"net@1\"]\ndevice = \"cuda:1\"\nmemory = \"3GiB\"\n");
    let limits = found.unwrap().limits;
    assert_eq!(limits["*"].threads, Some(2));
    assert_eq!(limits["net@1"].memory.unwrap().0, 3 << 30);
    let error = with("[limits.net]\nthreads = 300\n").unwrap_err().to_string();
    assert!(error.contains("[limits.\"net\"]: threads = 300"), "{error}");
    assert!(with("[limits.net]\nmemory = \"3GB\"\n").is_err());
}

#[test]
fn nothing_existing_is_overwritten() {
    let (dir, path) = fresh();
    let again = Home::create(&path, InitOptions::default());
    assert!(matches!(again, Err(HomeError::Exists { .. })));
    let other = Home::create(dir.path(), InitOptions::default());
    assert!(matches!(other, Err(HomeError::NotEmpty { .. })));
    assert!(matches!(Home::open(dir.path()), Err(HomeError::Missing { .. })));
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_fix() {
    let (_dir, path) = fresh();
    for name in SECRET_FILES {
        set_mode(&path.join(name), 0o640);
        let error = Home::open(&path).unwrap_err();
        assert!(
            matches!(error, HomeError::Mode { found: 0o640, .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("chmod 600"), "{error}");
        set_mode(&path.join(name), 0o600);
    }
    set_mode(&path, 0o755);
    assert!(Home::open(&path).unwrap_err().to_string().contains("chmod 700"));
}

#[test]
fn a_damaged_or_missing_key_names_the_file() {
    let (_dir, path) = fresh();
    fs::write(path.join(NODE), "abc\n").unwrap();
    let error = Home::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("node.key") && error.contains("64 hex digits"),
        "{error}"
    );
    fs::remove_file(path.join(NODE)).unwrap();
    assert!(Home::open(&path).unwrap_err().to_string().contains("missing"));
}

#[test]
fn folders_of_other_versions_are_told_apart_from_damage() {
    let (_dir, path) = fresh();
    let config = path.join(CONFIG);
    let text = fs::read_to_string(&config).unwrap();
    let with = |from: &str, to: &str| {
        fs::write(&config, text.replace(from, to)).unwrap();
        Home::open(&path).unwrap_err()
    };
    assert!(matches!(
        with("format = 1", "format = 2\nsomething_new = 1"),
        HomeError::Newer { found: 2, .. }
    ));
    assert!(matches!(
        with("format = 1", "format = 0"),
        HomeError::Older { .. }
    ));
    assert!(matches!(with("format = 1", ""), HomeError::Damaged { .. }));
    assert!(matches!(with("name =", "nmae ="), HomeError::Damaged { .. }));
    assert!(matches!(with("127.0.0.1", "0.0.0.0"), HomeError::Invalid { .. }));
}

#[test]
fn the_trust_policy_survives_and_a_wrong_key_is_named() {
    let (_dir, path) = fresh();
    let mut home = Home::open(&path).unwrap();
    let mut trust = TrustPolicy::default();
    trust.aggregators.insert(home.identity.public());
    home.save_trust(trust.clone()).unwrap();
    assert_eq!(Home::open(&path).unwrap().trust, trust);
    assert_eq!(home.trust_now().unwrap(), trust);
    fs::write(path.join(TRUST), "aggregators = [\"xyz\"]").unwrap();
    assert!(Home::open(&path).unwrap_err().to_string().contains("xyz"));
}

#[test]
fn the_api_is_found_while_its_address_is_there() {
    let (_dir, path) = fresh();
    let home = Home::open(&path).unwrap();
    assert!(matches!(Endpoint::find(&path), Err(HomeError::NotRunning { .. })));
    home.write_api_address("127.0.0.1:4601".parse().unwrap()).unwrap();
    let endpoint = Endpoint::find(&path).unwrap();
    assert_eq!(
        (endpoint.address.port(), endpoint.token.as_str()),
        (4601, home.token())
    );
    home.remove_api_address().unwrap();
    home.remove_api_address().unwrap();
    assert!(matches!(Endpoint::find(&path), Err(HomeError::NotRunning { .. })));
}

#[test]
fn bad_names_and_networks_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let options = InitOptions {
        network: Some("Main Net".into()),
        ..InitOptions::default()
    };
    let path = dir.path().join("data");
    assert!(matches!(
        Home::create(&path, options),
        Err(HomeError::Invalid { .. })
    ));
    assert!(!path.exists());
}
