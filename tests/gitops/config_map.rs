//! `argocd-cm.yaml` carries the scripts as they are in their files.

use std::path::Path;

use serde_json::{Value, json};

use crate::argocd::{DISCOVERY, HEALTH, RENEW};

#[test]
fn the_config_map_for_argo_cd_carries_the_scripts_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gitops/argocd/argocd-cm.yaml");
    let expected = render();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == expected, "argocd-cm.yaml does not match the .lua files; run: make generate");

    let map: Value = serde_saphyr::from_str(&written).unwrap();
    assert_eq!(map["metadata"], json!({"name": "argocd-cm", "namespace": "argocd"}));
    let data = map["data"].as_object().unwrap();
    assert_eq!(data.len(), 2);
    assert_eq!(data["resource.customizations.health.apicredential.io_ApiCredential"], HEALTH);
    let actions = data["resource.customizations.actions.apicredential.io_ApiCredential"].as_str().unwrap();
    let actions: Value = serde_saphyr::from_str(actions).unwrap();
    let expected = json!({"discovery.lua": DISCOVERY, "definitions": [{"name": "renew", "action.lua": RENEW}]});
    assert_eq!(actions, expected);
}

fn render() -> String {
    format!(
        "\
# Argo CD: the health of an ApiCredential, and the action that renews its token. A patch: it touches no other key.
#
#   kubectl apply --server-side --field-manager=apicredential -f deploy/gitops/argocd/argocd-cm.yaml
#
# The scripts are those of health.lua and actions/; a test keeps them in step.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
  resource.customizations.health.apicredential.io_ApiCredential: |
{health}
  resource.customizations.actions.apicredential.io_ApiCredential: |
    discovery.lua: |
{discovery}
    definitions:
      - name: renew
        action.lua: |
{renew}
",
        health = indented(HEALTH, 4),
        discovery = indented(DISCOVERY, 6),
        renew = indented(RENEW, 10),
    )
}

fn indented(script: &str, by: usize) -> String {
    let lines = script.lines().map(|line| if line.is_empty() { String::new() } else { format!("{:by$}{line}", "") });
    lines.collect::<Vec<_>>().join("\n")
}
