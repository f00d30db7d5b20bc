//! The dashboard is consistent: Grafana draws what it is given, and does not report mistakes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::expressions::{dashboard, panels, text};

#[test]
fn the_rows_go_from_the_fleet_to_the_operator() {
    let rows: Vec<String> =
        panels().iter().filter(|panel| panel["type"] == "row").map(|panel| text(&panel["title"])).collect();
    assert_eq!(rows, ["Fleet", "Provider", "ApiCredential", "Operator"]);
}

#[test]
fn source_namespace_and_credential_are_chosen_by_variables() {
    let variables = dashboard()["templating"]["list"].as_array().cloned().unwrap();
    let names: Vec<String> = variables.iter().map(|variable| text(&variable["name"])).collect();
    assert_eq!(names, ["datasource", "namespace", "name"]);
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let panels = panels();
    let drawn = panels.iter().filter(|panel| panel["type"] != "row");
    let targets = drawn.clone().flat_map(|panel| panel["targets"].as_array().cloned().unwrap());
    for user in variables[1..].iter().chain(drawn).cloned().chain(targets) {
        assert_eq!(user["datasource"], source, "{user}");
    }
}

#[test]
fn each_panel_says_what_it_shows_and_in_which_unit() {
    let panels = panels();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "an id is used twice");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = text(&panel["title"]);
        assert!(text(&panel["description"]).ends_with('.'), "{title}: a sentence");
        assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{title}");
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{title}");
    }
}

#[test]
fn no_two_panels_overlap_and_none_is_outside() {
    let mut taken = BTreeSet::new();
    for panel in panels() {
        let [x, y, width, height] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(width > 0 && height > 0 && x + width <= 24, "{}", panel["title"]);
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} overlaps at {cell:?}", panel["title"]);
        }
    }
}
