//! The runbooks: the targets of the alerts' links exist and are complete.

use std::collections::BTreeMap;

use crate::expressions::{self, read, text};

const PARTS: [&str; 4] = ["**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Remedy.**"];

/// The sections by their anchor, as Git hosts make one from a heading of one word.
fn sections() -> BTreeMap<String, String> {
    let runbooks = read("docs/runbooks.md");
    let sections = runbooks.split("\n## ").skip(1).map(|section| {
        let (heading, body) = section.split_once('\n').expect("a heading is followed by its section");
        (heading.to_lowercase(), body.to_owned())
    });
    sections.collect()
}

#[test]
fn each_alert_links_to_a_section_of_its_own_that_has_all_four_parts() {
    let sections = sections();
    let alerts = expressions::alerts();
    for rule in &alerts {
        let alert = text(&rule["alert"]);
        let anchor = alert.to_lowercase();
        assert_eq!(text(&rule["annotations"]["runbook_url"]), format!("docs/runbooks.md#{anchor}"));
        let section = sections.get(&anchor).unwrap_or_else(|| panic!("{alert} has no runbook"));
        let places = PARTS.map(|part| section.find(part).unwrap_or_else(|| panic!("{alert}: no {part}")));
        assert!(places.is_sorted(), "{alert}: the parts are {PARTS:?}, in this order");
        let diagnosis = &section[places[2]..places[3]];
        assert!(diagnosis.contains("```sh\nkubectl "), "{alert}: a command to begin with");
        assert!(diagnosis.contains("```promql\n"), "{alert}: an expression to evaluate");
    }
    assert_eq!(sections.len(), alerts.len(), "a section without an alert");
}

#[test]
fn links_between_sections_lead_somewhere() {
    let (runbooks, sections) = (read("docs/runbooks.md"), sections());
    for (at, _) in runbooks.match_indices("](#") {
        let (anchor, _) = runbooks[at + 3..].split_once(')').expect("the link ends");
        assert!(sections.contains_key(anchor), "#{anchor}");
    }
    let readme = read("README.md");
    for heading in ["## All reasons\n", "## When it fails\n"] {
        assert!(readme.contains(heading), "the runbooks link to it: {heading}");
    }
}
