//! Environments built in the sandbox by pip, from a wheel that the test makes and an index that is a folder.
//!
//! What pip is told comes from the user's environment variables, so each test runs its part in a copy of this program
//! with its own.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use fieldmark_package::python::{EnvironmentError, Environments, Interpreter, Lock};
use fieldmark_package::{PackageError, Progress, Workshop, pack};
use fieldmark_supervisor::{SupervisorConfig, tensor_values_f32};

/// Names the folder in which the second process works.
const FOLDER: &str = "FIELDMARK_ENVIRONMENTS_FOLDER";

/// A wheel of one module that multiplies by three; returns its SHA-256.
fn wheel(folder: &Path) -> String {
    let path = folder.join("tiny_factor-1.0-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let info = "tiny_factor-1.0.dist-info";
    for (name, content) in [
        ("tiny_factor/__init__.py".to_owned(), "FACTOR = 3\n"),
        (
            format!("{info}/METADATA"),
            "Metadata-Version: 2.1\nName: tiny-factor\nVersion: 1.0\n",
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        (format!("{info}/RECORD"), ""),
    ] {
        archive
            .start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(content.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn package(folder: &Path, version: &str, digest: &str) -> PathBuf {
    let package = folder.join(format!("package-{version}"));
    std::fs::create_dir_all(&package).unwrap();
    let manifest = format!(
        "[model]\nname = \"factor\"\nversion = \"{version}\"\nruntime = \"python\"\nartifact = \"predict.py\"\n\
         [[input]]\nname = \"x\"\ndatatype = \"FP32\"\nshape = [-1]\n\
         [[output]]\nname = \"y\"\ndatatype = \"FP64\"\nshape = [-1]\n"
    );
    let predict = "import tiny_factor\n\n\ndef predict(model, inputs):\n    \
                   return {'y': [value * tiny_factor.FACTOR for value in inputs['x'].tolist()]}\n";
    for (file, content) in [
        ("fieldmark.toml", manifest.as_str()),
        ("predict.py", predict),
        ("README.md", "---\nlicense: mit\n---\n# Factor\n"),
        (
            "requirements.txt",
            &format!("tiny-factor==1.0 \\\n    --hash=sha256:{digest}\n"),
        ),
    ] {
        std::fs::write(package.join(file), content).unwrap();
    }
    package
}

/// Runs a test of this file once more, with an index that is a folder, and says whether this is that second run.
fn in_a_process_of_its_own(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(PathBuf::from(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    // Started as root, the builder is another user by the time it reads the index.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("PIP_NO_INDEX", "1")
        .env("PIP_FIND_LINKS", folder.path())
        .env(FOLDER, folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{test}");
    None
}

fn workshop(folder: &Path) -> (Workshop, Arc<Mutex<Vec<String>>>) {
    let mut workshop = Workshop::new(
        folder.join("home"),
        SupervisorConfig::beside_current_exe().unwrap(),
    );
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    workshop.progress = Progress::new(move |line| heard.lock().unwrap().push(line.to_owned()));
    (workshop, said)
}

#[tokio::test]
async fn an_environment_is_built_in_the_sandbox_once_for_equal_locks() {
    let Some(folder) = in_a_process_of_its_own("an_environment_is_built_in_the_sandbox_once_for_equal_locks")
    else {
        return;
    };
    let digest = wheel(&folder);
    let (workshop, said) = workshop(&folder);
    let (first, second) = (
        package(&folder, "1.0.0", &digest),
        package(&folder, "2.0.0", &digest),
    );
    // What a killed build left is no obstacle.
    let lock = Lock::parse(&std::fs::read_to_string(first.join("requirements.txt")).unwrap()).unwrap();
    let id = Environments::id(&lock, &Interpreter::find(Path::new("python3")).unwrap());
    let environments = folder.join("home/environments");
    std::fs::create_dir_all(environments.join(format!(".{id}/packages/half"))).unwrap();

    let packed = pack(&first, &workshop).await.unwrap();
    assert_eq!(packed.trial.outputs, ["y FP64 [1]"]);
    assert!(environments.join(&id).join("tiny_factor/__init__.py").is_file());
    assert!(!environments.join(&id).join("half").exists() && !environments.join(format!(".{id}")).exists());
    let lines = said.lock().unwrap().len();
    assert!(lines > 0, "pip says what it does");
    pack(&second, &workshop).await.unwrap();
    assert_eq!(
        said.lock().unwrap().len(),
        lines,
        "nothing is built for an equal lock"
    );

    let release = fieldmark_package::Package::read(&first).unwrap().hash().unwrap();
    let spec = workshop
        .prepare(&release, fieldmark_package::Source::Folder(&first))
        .await
        .unwrap();
    let runner = fieldmark_supervisor::Runner::start(&workshop.config, spec)
        .await
        .unwrap();
    let answer = runner
        .infer(vec![fieldmark_supervisor::tensor_f32("x", &[2], &[1.0, 2.5])])
        .await
        .unwrap();
    let bytes: Vec<u8> = [3.0_f64, 7.5]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    assert_eq!(answer[0].data, bytes);
    assert!(tensor_values_f32(&answer[0]).is_err());
    runner.shutdown().await;
}

#[tokio::test]
async fn a_file_with_another_hash_is_not_installed_and_nothing_is_left() {
    let Some(folder) =
        in_a_process_of_its_own("a_file_with_another_hash_is_not_installed_and_nothing_is_left")
    else {
        return;
    };
    wheel(&folder);
    let (workshop, _) = workshop(&folder);
    let package = package(&folder, "1.0.0", &"0".repeat(64));
    let error = pack(&package, &workshop).await.unwrap_err();
    assert!(
        matches!(error, PackageError::Environment(EnvironmentError::Pip(_))),
        "{error}"
    );
    assert!(error.to_string().to_lowercase().contains("hash"), "{error}");
    let left = std::fs::read_dir(folder.join("home/environments")).unwrap();
    assert!(
        left.flatten()
            .all(|entry| entry.path().extension().is_some_and(|ending| ending == "lock"))
    );
}
