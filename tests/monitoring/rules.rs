//! The alerts and promtool's cases for them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::expressions::{self, read, text};
use crate::prometheus;

fn promtool(arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring");
    let output = Command::new(prometheus::program("promtool")).args(arguments).current_dir(folder).output();
    let output = output.expect("promtool can be started");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}\n{said}");
}

#[test]
fn promtool_accepts_the_rules_and_its_cases_pass() {
    promtool(&["check", "rules", "--lint-fatal", "alerts.yaml"]);
    promtool(&["test", "rules", "alerts_test.yaml"]);
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let cases: Value = serde_saphyr::from_str(&read("deploy/monitoring/alerts_test.yaml")).expect("the file is YAML");
    let mut firing = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for case in cases["tests"].as_array().expect("there are cases") {
        let checks = case["alert_rule_test"].as_array().expect("a case has checks");
        let fires = |check: &&Value| check["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
        let names: BTreeSet<String> = checks.iter().map(|check| text(&check["alertname"])).collect();
        let what = text(&case["name"]);
        assert!(names.iter().all(|name| what.starts_with(name)), "'{what}' is about {names:?}");
        if what.contains(" fires ") {
            assert!(checks.iter().any(|check| fires(&check)), "{what}");
            firing.extend(names);
        } else {
            assert!(what.contains(" does not fire ") && !checks.iter().any(|check| fires(&check)), "{what}");
            silent.extend(names);
        }
    }
    let alerts: BTreeSet<String> = expressions::alerts().iter().map(|rule| text(&rule["alert"])).collect();
    assert_eq!((&firing, &silent), (&alerts, &alerts));
}

#[test]
fn each_alert_has_a_severity_and_says_what_is_wrong_without_a_value_of_a_secret() {
    for rule in expressions::alerts() {
        let alert = text(&rule["alert"]);
        let severity = text(&rule["labels"]["severity"]);
        assert!(["critical", "warning"].contains(&severity.as_str()), "{alert}: {severity}");
        let annotations = rule["annotations"].as_object().expect("it has annotations");
        let names: Vec<&str> = annotations.keys().map(String::as_str).collect();
        assert_eq!(BTreeSet::from_iter(names), BTreeSet::from(["summary", "description", "runbook_url"]), "{alert}");
        let known = ["resource_namespace", "resource_name", "provider", "kind", "instance"]
            .map(|label| format!("$labels.{label} "));
        let said = annotations.values().map(text).collect::<Vec<_>>().join(" ");
        let labels = said.match_indices("$labels.").map(|(at, _)| &said[at..]);
        let unknown: Vec<&str> =
            labels.filter(|rest| !known.iter().any(|label| rest.starts_with(label.as_str()))).collect();
        assert!(unknown.is_empty(), "{alert}: {unknown:?}");
    }
}
