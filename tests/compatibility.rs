//! The CRD in `crds/` against that of each release: what was valid stays valid, and no field is removed.
//!
//! A release adds its CRD as `tests/compatibility/<version>.yaml`; before the first one there is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a file that cannot be read or parsed fails the test, with its reason"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

#[test]
fn nothing_that_a_release_accepted_is_rejected_or_pruned_by_the_current_crd() {
    let today = crd(&path("crds/apicredentials.yaml"));
    for file in fs::read_dir(path("tests/compatibility")).into_iter().flatten() {
        let file = file.unwrap().path();
        let broken = breaks(&crd(&file), &today);
        assert!(broken.is_empty(), "since {}:\n{}", file.display(), broken.join("\n"));
    }
    assert!(breaks(&today, &today).is_empty());
}

#[test]
fn kubectl_apply_and_a_kustomization_find_one_copy_of_the_crd() {
    let files = fs::read_dir(path("crds")).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["apicredentials.yaml"]);
}

#[test]
fn each_kind_of_breaking_change_is_noticed() {
    let schema = |spec: Value| {
        json!({"spec": {"versions": [{"name": "v1alpha1", "served": true, "schema": {"openAPIV3Schema": {
            "properties": {"spec": spec},
        }}}]}})
    };
    let before = schema(json!({
        "required": ["a"],
        "properties": {"a": {"type": "string", "enum": ["x", "y"], "maxLength": 9, "minLength": 1}, "b": {}},
        "x-kubernetes-validations": [{"rule": "true"}],
    }));
    let changes = [
        ("/properties/b", Value::Null, "spec.b is gone"),
        ("/properties/a/enum", json!(["x"]), "spec.a: \"y\" is no value any more"),
        ("/properties/a/maxLength", json!(8), "spec.a: maxLength is 8, was 9"),
        ("/properties/a/minLength", json!(2), "spec.a: minLength is 2, was 1"),
        ("/properties/a/pattern", json!("^a"), "spec.a: pattern is new or another"),
        ("/properties/a/type", json!("integer"), "spec.a: type is new or another"),
        ("/required", json!(["a", "b"]), "spec.b is required now"),
        ("/x-kubernetes-validations", json!([{"rule": "true"}, {"rule": "false"}]), "spec: a new rule: false"),
        (
            "/x-kubernetes-validations",
            json!([{"rule": "true"}, {"rule": "!has(self.b) || false"}]),
            "spec: a new rule: !has(self.b) || false",
        ),
    ];
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    for (pointer, value, wanted) in changes {
        let mut after = before.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = after.pointer_mut(&format!("{spec}{parent}")).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(field);
        } else {
            parent.insert(field.to_owned(), value);
        }
        assert_eq!(breaks(&before, &after), [wanted]);
    }
    let mut wider = before.clone();
    wider.pointer_mut(&format!("{spec}/properties/a")).unwrap()["maxLength"] = json!(10);
    wider.pointer_mut(&format!("{spec}/properties")).unwrap()["new"] = json!({});
    wider.pointer_mut(spec).unwrap()["x-kubernetes-validations"] =
        json!([{"rule": "true"}, {"rule": "!has(self.new) || false"}]);
    assert!(breaks(&before, &wider).is_empty());
}

/// What an object or a client of `before` would miss in `after`.
fn breaks(before: &Value, after: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for version in before["spec"]["versions"].as_array().unwrap() {
        let name = &version["name"];
        let same = |it: &&Value| it["name"] == *name && it["served"] == true;
        match after["spec"]["versions"].as_array().unwrap().iter().find(same) {
            None => broken.push(format!("version {name} is gone")),
            Some(now) => {
                let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
                compare(&schema(version), &schema(now), "", &mut broken);
            }
        }
    }
    broken
}

fn compare(before: &Value, after: &Value, path: &str, broken: &mut Vec<String>) {
    let mut say = |text: String| broken.push(format!("{path}{text}"));
    for word in ["type", "format", "pattern"] {
        if !after[word].is_null() && after[word] != before[word] {
            say(format!(": {word} is new or another"));
        }
    }
    for (words, tighter) in [
        (["maxLength", "maximum", "maxItems", "maxProperties"], (|now, was| now < was) as fn(f64, f64) -> bool),
        (["minLength", "minimum", "minItems", "minProperties"], |now, was| now > was),
    ] {
        for word in words {
            let Some(now) = after[word].as_f64() else { continue };
            match before[word].as_f64() {
                Some(was) if !tighter(now, was) => {}
                Some(was) => say(format!(": {word} is {now}, was {was}")),
                None => say(format!(": {word} is {now}, was none")),
            }
        }
    }
    if let Some(values) = after["enum"].as_array() {
        for value in before["enum"].as_array().into_iter().flatten().filter(|value| !values.contains(value)) {
            say(format!(": {value} is no value any more"));
        }
    }
    let rules = |schema: &Value| -> BTreeSet<String> {
        let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        rules.map(|rule| rule["rule"].as_str().unwrap_or_default().to_owned()).collect()
    };
    // A rule about a field that did not exist applies to no object without it.
    let is_of_a_new_field = |rule: &str| {
        let field = rule.strip_prefix("!has(self.").and_then(|rest| rest.split_once(") || "));
        field.is_some_and(|(name, _)| before["properties"].is_object() && before["properties"].get(name).is_none())
    };
    for rule in rules(after).difference(&rules(before)).filter(|rule| !is_of_a_new_field(rule)) {
        say(format!(": a new rule: {rule}"));
    }
    let required = |schema: &Value| -> BTreeSet<String> {
        let names = schema["required"].as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
    };
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for name in required(after).difference(&required(before)) {
        broken.push(format!("{} is required now", below(name)));
    }
    for (name, schema) in before["properties"].as_object().into_iter().flatten() {
        match after["properties"].get(name) {
            None => broken.push(format!("{} is gone", below(name))),
            Some(now) => compare(schema, now, &below(name), broken),
        }
    }
    for word in ["items", "additionalProperties"] {
        if before[word].is_object() {
            compare(&before[word], &after[word], &below(word), broken);
        }
    }
}

fn crd(file: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
