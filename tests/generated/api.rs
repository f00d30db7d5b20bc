//! The API reference, from the CRD that the operator prints.

use std::fmt::Write as _;

use apicredential::api::crd;
use serde_json::Value;

/// The fields below one part, `spec` or `status`, each with its bounds and the messages of its rules.
pub fn fields(part: &str) -> String {
    let version = version();
    let schema = &version["schema"]["openAPIV3Schema"]["properties"][part];
    let mut text = "| Field | Type | Default | What it is |\n|---|---|---|---|\n".to_owned();
    rows(&mut text, part, schema, false);
    text
}

/// The columns of `kubectl get`, and the field selectors.
pub fn columns() -> String {
    let version = version();
    let mut text = "| Column | Shows | With |\n|---|---|---|\n".to_owned();
    for column in list(&version["additionalPrinterColumns"]) {
        let with = if column["priority"].as_i64().unwrap_or_default() > 0 { "`-o wide`" } else { "always" };
        let name = word(&column["name"]).to_uppercase();
        writeln!(text, "| {name} | `{}` | {with} |", word(&column["jsonPath"])).expect("a String takes everything");
    }
    let selectable = list(&version["selectableFields"]).map(|field| format!("`{}`", &word(&field["jsonPath"])[1..]));
    let selectable: Vec<String> = selectable.collect();
    writeln!(text, "\nField selectors: {}.", selectable.join(", ")).expect("a String takes everything");
    text
}

fn version() -> Value {
    serde_json::to_value(crd()).expect("a CRD is JSON")["spec"]["versions"][0].clone()
}

fn rows(text: &mut String, path: &str, schema: &Value, required: bool) {
    let default = match &schema["default"] {
        Value::Null => "–".to_owned(),
        Value::String(default) => format!("`{default}`"),
        default => format!("`{default}`"),
    };
    let description = describe(path, schema, required);
    writeln!(text, "| `{path}` | {} | {default} | {description} |", type_of(schema))
        .expect("a String takes everything");
    let is_required = |name: &str| list(&schema["required"]).any(|required| *required == name);
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        rows(text, &format!("{path}.{name}"), below, is_required(name));
    }
    for (mark, below) in [("[]", &schema["items"]), (".*", &schema["additionalProperties"])] {
        // The description of a map's values is shown with the map.
        if below["properties"].is_object() {
            rows(text, &format!("{path}{mark}"), below, false);
        }
    }
}

/// The description, the bounds, and the message of each rule.
fn describe(path: &str, schema: &Value, required: bool) -> String {
    let mut parts = Vec::new();
    let description = word(&schema["description"]);
    if !description.is_empty() {
        parts.push(if description.ends_with('.') { description.to_owned() } else { format!("{description}.") });
    }
    let bounds = bounds(schema);
    match (required, bounds.is_empty()) {
        (true, true) => parts.push("*Required.*".to_owned()),
        (true, false) => parts.push(format!("*Required; {bounds}.*")),
        (false, false) => parts.push(format!("*{}{}.*", bounds[..1].to_uppercase(), &bounds[1..])),
        (false, true) => {}
    }
    let own = [schema, &schema["additionalProperties"]].into_iter();
    for rule in own.flat_map(|schema| list(&schema["x-kubernetes-validations"])) {
        parts.push(format!("Else: “{}”.", word(&rule["message"])));
    }
    assert!(!parts.is_empty(), "{path}: no description");
    parts.join("<br>").replace('|', "\\|")
}

fn bounds(schema: &Value) -> String {
    let mut bounds = Vec::new();
    for (unit, least, most) in [
        ("characters", "minLength", "maxLength"),
        ("", "minimum", "maximum"),
        ("items", "minItems", "maxItems"),
        ("entries", "minProperties", "maxProperties"),
    ] {
        let bound = match (schema[least].as_f64(), schema[most].as_f64()) {
            (None, None) => continue,
            (Some(least), None) => format!("at least {least} {unit}"),
            (None, Some(most)) => format!("at most {most} {unit}"),
            (Some(least), Some(most)) => format!("{least} to {most} {unit}"),
        };
        bounds.push(bound.trim_end().to_owned());
    }
    if let Some(most) = schema["additionalProperties"]["maxLength"].as_i64() {
        bounds.push(format!("values of at most {most} characters"));
    }
    bounds.join("; ")
}

fn type_of(schema: &Value) -> String {
    let values: Vec<String> = list(&schema["enum"]).map(|value| format!("`{}`", word(value))).collect();
    match (word(&schema["type"]), word(&schema["format"])) {
        _ if !values.is_empty() => values.join(" or "),
        (_, "date-time") => "time".to_owned(),
        ("array", _) => format!("list of {}", type_of(&schema["items"])),
        ("object", _) if schema["additionalProperties"].is_object() => "map of string to string".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
