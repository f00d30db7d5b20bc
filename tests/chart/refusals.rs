//! Values that the chart rejects before it renders anything, instead of ignoring them.

use crate::helm::template;

#[test]
fn an_invalid_value_is_rejected_with_its_name() {
    let digest = "image.digest=sha256:short";
    let everywhere = "pinned=[{\"namespace\":\"care\",\"sources\":[\"a\"],\"targets\":[]}]";
    let twice = "pinned=[{\"namespace\":\"care\",\"sources\":[\"a\"],\"targets\":[\"b\"]},\
                 {\"namespace\":\"care\",\"sources\":[\"c\"],\"targets\":[\"d\"]}]";
    for (values, expected) in [
        // Unknown keys, at the top and below.
        (&["--set", "replicas=2"][..], "replicas"),
        (&["--set", "image.tags=1"], "tags"),
        (&["--set", "provider.ca.name=authorities"], "name"),
        // Invalid types.
        (&["--set", "concurrency=many"], "concurrency"),
        (&["--set-string", "ha.enabled=true"], "ha/enabled"),
        (&["--set", "namespaces=care"], "namespaces"),
        (&["--set", "resync=10"], "resync"),
        (&["--set", "mode=everything"], "mode"),
        // Values out of bounds.
        (&["--set", "ha.replicas=1"], "ha/replicas"),
        (&["--set", digest], "image/digest"),
        (&["--set", "provider.allowedEndpoints={https://host}"], "allowedEndpoints"),
        (&["--set", "allowedTargetMetadata={a b}"], "allowedTargetMetadata"),
        (&["--set", "allowedTargetMetadata=team"], "allowedTargetMetadata"),
        (&["--set", "podLabels.app\\.kubernetes\\.io/name=other"], "app.kubernetes.io/name"),
        // A narrow mode without its list, and a list without its mode: neither may result in permissions everywhere.
        (&["--set", "mode=namespaced"], "namespaces"),
        (&["--set", "mode=pinned"], "pinned"),
        (&["--set", "namespaces={care}"], "namespaces"),
        (&["--set-json", twice], "pinned"),
        // In RBAC an empty list of names means every Secret.
        (&["--set", "mode=pinned", "--set-json", everywhere], "targets"),
        (&["--set", "mode=pinned", "--set-json", twice], "list each namespace once"),
        // Contradictions.
        (&["--set", "provider.ca.configMap=a,provider.ca.secret=b"], "provider/ca"),
        (&["--set", "ha.enabled=true,leaderElection.enabled=false"], "leaderElection/enabled"),
    ] {
        let Err(refusal) = template(values) else { panic!("{values:?} was rendered") };
        assert!(refusal.contains(expected), "{values:?}: {refusal}");
    }
}
