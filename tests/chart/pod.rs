//! The operator's pod: its arguments, its files, its scheduling.

use std::collections::BTreeSet;

use apicredential_operator::cli::Args;
use clap::{CommandFactory as _, Parser as _};
use serde_json::{Value, json};

use crate::helm::template;
use crate::{EVERYTHING, of_kind};

#[test]
fn every_flag_can_be_set_and_the_operator_understands_what_is_passed() {
    let arguments = arguments(&["--values", EVERYTHING]);
    let passed: BTreeSet<&str> = arguments.iter().filter_map(|it| Some(it.split_once('=')?.0)).collect();
    let mut command = Args::command();
    let run = command.find_subcommand_mut("run").unwrap();
    // The chart leaves elections on: with three replicas they are required.
    let known = run.get_arguments().filter_map(|flag| Some(format!("--{}", flag.get_long()?)));
    let known: BTreeSet<String> = known.filter(|flag| flag != "--help" && flag != "--leader-election").collect();
    for flag in &known {
        assert!(passed.contains(flag.as_str()), "the chart cannot set {flag}");
    }
    let line = std::iter::once("apicredential-operator").chain(arguments.iter().map(String::as_str));
    let settings = match Args::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).command {
        apicredential_operator::cli::Command::Run(run) => run.check().unwrap_or_else(|error| panic!("{error}")),
        _ => panic!("{arguments:?}"),
    };
    assert_eq!(settings.namespaces, ["care", "messaging"]);
    let route = settings.provider.transport;
    assert_eq!(route.roots.unwrap().to_str(), Some("/etc/provider-ca/ca.crt"));
    assert_eq!(route.proxy_login.unwrap().to_str(), Some("/etc/provider-proxy/credentials"));
    assert!(route.proxy.is_some());
    assert_eq!(settings.provider.rate, 2.5);
    assert_eq!(settings.listen.to_string(), "[::]:9090");
    assert_eq!(settings.health_listen.to_string(), "[::]:9091");
    let election = settings.lease.election.unwrap();
    assert_eq!((election.namespace.as_str(), election.name.as_str()), ("leases", "tokens"));
}

#[test]
fn what_is_not_set_has_the_operators_default() {
    assert_eq!(arguments(&[]), ["run"]);
    assert_eq!(arguments(&["--set", "extraArgs={--resync=1h}"]), ["run", "--resync=1h"]);
    assert_eq!(arguments(&["--set", "provider.rate=0"]), ["run", "--provider-rate=0"]);
}

#[test]
fn two_releases_in_one_namespace_do_not_share_a_lease() {
    let names = ["--set", "fullnameOverride=other"];
    assert_eq!(arguments(&names), ["run", "--lease-name=other"]);
    let objects = template(&names).unwrap();
    assert_eq!(of_kind(&objects, "Role")["rules"][1]["resourceNames"], json!(["other"]));
}

#[test]
fn without_a_lease_the_old_pod_is_gone_before_the_new_one_starts() {
    let objects = template(&["--set", "leaderElection.enabled=false"]).unwrap();
    assert_eq!(of_kind(&objects, "Deployment")["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(arguments(&["--set", "leaderElection.enabled=false"]), ["run", "--leader-election=false"]);
    assert!(objects.iter().all(|object| object["kind"] != "Role"), "permissions on a lease that is not used");
}

#[test]
fn files_for_the_provider_are_mounted_whole_so_that_they_follow_their_source() {
    let pod = pod(&["--values", EVERYTHING]);
    assert_eq!(
        pod["volumes"],
        json!([
            {"name": "provider-ca", "configMap": {"name": "authorities", "items": [{"key": "root.pem", "path": "ca.crt"}]}},
            {"name": "provider-proxy", "secret": {
                "secretName": "proxy-login", "items": [{"key": "user-and-password", "path": "credentials"}],
            }},
        ])
    );
    assert_eq!(
        pod["containers"][0]["volumeMounts"],
        json!([
            {"name": "provider-ca", "mountPath": "/etc/provider-ca", "readOnly": true},
            {"name": "provider-proxy", "mountPath": "/etc/provider-proxy", "readOnly": true},
        ])
    );
    let secret = self::pod(&["--set", "provider.ca.secret=authorities"]);
    assert_eq!(secret["volumes"][0]["secret"]["secretName"], "authorities");
}

#[test]
fn a_digest_wins_over_a_tag() {
    let image = |values: &[&str]| pod(values)["containers"][0]["image"].as_str().unwrap().to_owned();
    assert!(image(&["--values", EVERYTHING]).starts_with("registry.example.com/apicredential-operator@sha256:0123"));
    assert_eq!(image(&["--set", "image.tag=0.2.0"]), "apicredential-operator:0.2.0");
}

#[test]
fn all_other_settings_of_the_pod_are_applied() {
    let objects = template(&["--values", EVERYTHING]).unwrap();
    let deployment = &of_kind(&objects, "Deployment")["spec"];
    let metadata = &deployment["template"]["metadata"];
    assert_eq!(deployment["replicas"], 3);
    assert_eq!(deployment["selector"]["matchLabels"], json!({"app.kubernetes.io/name": "apicredential-operator"}));
    assert_eq!(
        (&metadata["labels"]["network"], &metadata["annotations"]["note"]),
        (&json!("restricted"), &json!("only the pods"))
    );
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    assert_eq!(pod["tolerations"][0]["key"], "dedicated");
    assert!(pod["affinity"]["nodeAffinity"].is_object() && pod["topologySpreadConstraints"].is_array(), "{pod}");
    let container = &pod["containers"][0];
    assert_eq!(container["env"], json!([{"name": "TZ", "value": "UTC"}]));
    assert_eq!(container["ports"][0]["containerPort"], 9090);
    assert_eq!(container["resources"]["requests"]["cpu"], "10m");
    let policy = &of_kind(&objects, "NetworkPolicy")["spec"];
    let ports = policy["egress"].as_array().unwrap().iter().flat_map(|rule| rule["ports"].as_array().unwrap());
    let ports: Vec<u64> = ports.map(|port| port["port"].as_u64().unwrap()).collect();
    assert_eq!(ports, [53, 53, 443, 6443, 3128, 8443]);
}

fn arguments(values: &[&str]) -> Vec<String> {
    serde_json::from_value(pod(values)["containers"][0]["args"].clone()).unwrap()
}

fn pod(values: &[&str]) -> Value {
    let objects = template(values).unwrap_or_else(|refusal| panic!("{refusal}"));
    of_kind(&objects, "Deployment")["spec"]["template"]["spec"].clone()
}
