//! The kustomization that docs/install.md shows.

use std::fs;

use serde_json::{Value, json};

use crate::helm::{repository, run};
use crate::of_kind;

#[test]
fn kustomize_builds_what_the_page_on_installing_shows() {
    let page = fs::read_to_string(repository().join("docs/install.md")).unwrap();
    let (_, shown) = page.split_once("```yaml\n# kustomization.yaml\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rendered = folder.path().join("deploy/rendered");
    fs::create_dir_all(&rendered).unwrap();
    fs::copy(repository().join("deploy/rendered/ha.yaml"), rendered.join("ha.yaml")).unwrap();
    fs::write(folder.path().join("kustomization.yaml"), shown).unwrap();
    let output = run("kustomize", &["build", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let container = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/apicredential-operator:0.1.0");
    assert_eq!(container["args"], json!(["run", "--resync=5m"]));
}
