//! Every PromQL expression in the repository, and its file.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The kind of file that contains an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Alerts,
    Dashboard,
    Runbooks,
}

/// One expression; the dashboard's variables are filled in.
pub struct Expression {
    pub place: FileKind,
    /// For messages: the alert, the panel or the line.
    pub origin: String,
    pub text: String,
}

/// All of them.
pub fn all() -> Vec<Expression> {
    let alerts = alerts().into_iter().map(|rule| Expression {
        place: FileKind::Alerts,
        origin: text(&rule["alert"]),
        text: text(&rule["expr"]),
    });
    let mut all: Vec<Expression> = alerts.collect();
    for panel in panels() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        all.extend(targets.map(|target| Expression {
            place: FileKind::Dashboard,
            origin: format!("panel '{}' {}", text(&panel["title"]), text(&target["refId"])),
            text: fill_in(&text(&target["expr"])),
        }));
    }
    let runbooks = read("docs/runbooks.md");
    for block in runbooks.split("```promql\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the block ends");
        all.extend(block.lines().map(|line| Expression {
            place: FileKind::Runbooks,
            origin: format!("runbooks.md: {line}"),
            text: line.to_owned(),
        }));
    }
    all
}

/// The alerts of all groups, as in the file.
pub fn alerts() -> Vec<Value> {
    let groups = rules()["groups"].as_array().cloned().expect("the file has groups");
    groups.iter().flat_map(|group| group["rules"].as_array().cloned().expect("a group has rules")).collect()
}

/// The file of alerts.
pub fn rules() -> Value {
    serde_saphyr::from_str(&read("deploy/monitoring/alerts.yaml")).expect("the file is YAML")
}

/// The dashboard.
pub fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/monitoring/dashboard.json")).expect("the file is JSON")
}

/// The dashboard's panels, rows included, in order.
pub fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().cloned().expect("the dashboard has panels")
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A value that has to be text.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}

/// As Grafana does it with "All" selected; the interval is one for a scrape each second.
fn fill_in(expression: &str) -> String {
    expression.replace("$__rate_interval", "10s").replace("$namespace", ".*").replace("$name", ".*")
}
