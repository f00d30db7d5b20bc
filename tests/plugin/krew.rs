//! The krew package.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::transcript::program;

#[test]
fn the_krew_archive_matches_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/krew/pack.sh");
    let uri = "https://example.com/kubectl-apicredential.tar.gz";
    let packed = Command::new(&script).arg(folder.path()).arg(uri).env("PROGRAM", program()).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    let manifest = std::fs::read_to_string(String::from_utf8_lossy(&packed.stdout).trim()).unwrap();
    let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
    assert_eq!(manifest["metadata"]["name"], "apicredential");
    assert_eq!(manifest["spec"]["version"], concat!("v", env!("CARGO_PKG_VERSION")));
    let platform = &manifest["spec"]["platforms"][0];
    assert_eq!(platform["uri"], uri);

    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let archive = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "gz")).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(&archive).unwrap());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(platform["sha256"], digest.as_str());

    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    let version =
        Command::new(folder.path().join(platform["bin"].as_str().unwrap())).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")), "{version:?}");
    assert!(folder.path().join("LICENSE").exists());
}
