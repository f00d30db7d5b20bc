//! The permissions of each mode on Secrets.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::helm::template;

#[test]
fn cluster_is_the_default_and_binds_one_cluster_role() {
    assert_eq!(template(&[]).unwrap(), template(&["--set", "mode=cluster"]).unwrap());
    let (namespaces, rules) = secret_rules(&template(&[]).unwrap());
    assert_eq!(namespaces, ["".into()].into());
    assert_eq!(rules, [json!([["get", "create", "patch", "list", "watch"], null])]);
}

#[test]
fn namespaced_has_permissions_in_the_listed_namespaces_and_in_no_other() {
    let objects = template(&["--set", "mode=namespaced,namespaces={care,messaging}"]).unwrap();
    let (namespaces, rules) = secret_rules(&objects);
    assert_eq!(namespaces, ["care".into(), "messaging".into()].into());
    assert_eq!(rules, vec![json!([["get", "create", "patch", "list", "watch"], null]); 2]);
}

#[test]
fn pinned_reads_and_patches_what_is_named_and_can_neither_create_nor_list() {
    let pinned = r#"pinned=[{"namespace":"care","sources":["login"],"targets":["token","other"]}]"#;
    let (namespaces, rules) = secret_rules(&template(&["--set", "mode=pinned", "--set-json", pinned]).unwrap());
    assert_eq!(namespaces, ["care".into()].into());
    assert_eq!(rules, [json!([["get"], ["login", "token", "other"]]), json!([["patch"], ["token", "other"]])],);
}

/// The namespaces in which the operator has permissions on Secrets (empty: all), and those permissions as pairs of
/// verbs and names. Each role has to be bound, and only to the operator's account.
fn secret_rules(objects: &[Value]) -> (BTreeSet<String>, Vec<Value>) {
    let of_secrets = |rule: &&Value| rule["resources"] == json!(["secrets"]);
    let (mut namespaces, mut pairs) = (BTreeSet::new(), Vec::new());
    for role in objects {
        let rules = role["rules"].as_array().into_iter().flatten().filter(of_secrets);
        let rules: Vec<Value> = rules.map(|rule| json!([rule["verbs"], rule["resourceNames"]])).collect();
        if rules.is_empty() {
            continue;
        }
        let bound = |it: &&Value| {
            it["roleRef"]["kind"] == role["kind"]
                && it["roleRef"]["name"] == role["metadata"]["name"]
                && it["metadata"]["namespace"] == role["metadata"]["namespace"]
        };
        let binding = objects.iter().find(bound).unwrap_or_else(|| panic!("no account is bound to {role}"));
        let name = "apicredential-operator";
        assert_eq!(binding["subjects"], json!([{"kind": "ServiceAccount", "name": name, "namespace": name}]));
        namespaces.insert(role["metadata"]["namespace"].as_str().unwrap_or_default().to_owned());
        pairs.extend(rules);
    }
    (namespaces, pairs)
}
