//! The files that are rendered for installations without Helm.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::helm::{self, chart, repository, template};
use crate::{EVERYTHING, of_kind};

#[test]
fn the_committed_renderings_are_what_the_chart_renders_today() {
    let today = tempfile::tempdir().unwrap();
    let script = repository().join("deploy/render.sh");
    let output = Command::new(&script).arg(today.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (committed, today) = (rendered(&repository().join("deploy")), rendered(today.path()));
    assert!(committed.keys().eq(today.keys()), "{:?} are rendered, {:?} are here", today.keys(), committed.keys());
    for (file, text) in today {
        assert!(committed[&file] == text, "deploy/{file} is not what the chart renders; run: make manifests");
    }
}

/// The files by their paths.
fn rendered(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder.join("rendered")).unwrap();
    let names = entries.map(|entry| format!("rendered/{}", entry.unwrap().file_name().to_str().unwrap()));
    let files = names.chain(["install.yaml".to_owned()]);
    files.map(|file| (file.clone(), fs::read_to_string(folder.join(file)).unwrap())).collect()
}

#[test]
fn helm_lint_reports_nothing() {
    let output = helm::helm(&["lint", "--strict", &chart(), "--values", EVERYTHING]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_notes_state_where_the_crd_is_and_in_which_order_to_uninstall() {
    let output = helm::helm(&["install", "tokens", &chart(), "--namespace", "care", "--dry-run=client"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, notes) = text.split_once("NOTES:").unwrap_or_else(|| panic!("{text}{output:?}"));
    let place = |words: &str| notes.find(words).unwrap_or_else(|| panic!("{words:?} is not in the notes: {notes}"));
    let steps = [
        place("kubectl apply -f crds/"),
        place("kubectl delete apicredentials"),
        place("helm -n care uninstall tokens"),
        place("kubectl delete -f crds/"),
    ];
    assert!(steps.is_sorted(), "{notes}");
    assert!(notes.contains("deployment/tokens-apicredential-operator"), "{notes}");
}

#[test]
fn labels_and_annotations_for_everything_are_on_everything() {
    let objects = template(&["--values", EVERYTHING]).unwrap();
    for object in &objects {
        assert_eq!(object["metadata"]["labels"]["team"], "platform", "{object}");
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], "apicredential-operator", "{object}");
        assert_eq!(object["metadata"]["annotations"]["contact"], "platform@example.com", "{object}");
    }
    assert_eq!(of_kind(&objects, "ServiceAccount")["metadata"]["annotations"]["note"], "only the account");
    for kind in ["PodMonitor", "PrometheusRule"] {
        assert_eq!(of_kind(&objects, kind)["metadata"]["labels"]["release"], "prometheus");
    }
}

#[test]
fn the_dashboard_arrives_as_the_file_says() {
    let objects = template(&["--values", EVERYTHING]).unwrap();
    let file =
        fs::read_to_string(repository().join("deploy/helm/apicredential-operator/files/dashboard.json")).unwrap();
    let arrived = of_kind(&objects, "ConfigMap")["data"]["apicredential-operator.json"].as_str().unwrap();
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(arrived), parse(&file));
}
