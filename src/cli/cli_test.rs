use apicredential::providers::AllowedEndpoints;
use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(flags: &[&str]) -> Result<RunArgs, clap::Error> {
    let line = ["apicredential-operator", "run"].iter().chain(flags);
    match Args::try_parse_from(line)?.command {
        Command::Run(run) => Ok(run),
        Command::Crd | Command::Exchange(_) => panic!("expected the subcommand run"),
    }
}

fn check(flags: &[&str]) -> Result<Settings, ArgsError> {
    parse(flags).expect("the flags can be parsed").check_with(|| Some("operators\n".to_owned()))
}

fn error(flags: &[&str]) -> String {
    check(flags).expect_err("the flags are rejected").to_string()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = check(&[]).unwrap();
    assert!(settings.namespaces.is_empty());
    assert_eq!(settings.provider.allowed_endpoints, AllowedEndpoints::default());
    assert_eq!(settings.provider.timeout, Duration::from_secs(15));
    assert_eq!((settings.provider.rate, settings.provider.burst), (10.0, 20));
    assert_eq!(settings.concurrency, 64);
    assert_eq!(settings.timings.resync, Duration::from_secs(600));
    assert_eq!(settings.timings.retry_base, Duration::from_secs(5));
    assert_eq!(settings.timings.min_renewal_interval, Duration::from_secs(30));
    assert_eq!(settings.lease.duration, Duration::from_secs(60));
    let election = settings.lease.election.unwrap();
    assert_eq!((election.namespace.as_str(), election.name.as_str()), ("operators", "apicredential-operator"));
    assert_eq!(election.duration, Duration::from_secs(60));
    assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.health_listen.to_string(), "0.0.0.0:8081");
    assert_eq!((settings.log.format, settings.log.filter.as_str()), (LogFormat::Json, "info,kube_runtime=warn"));
}

#[test]
fn every_flag_has_an_environment_variable_of_its_name() {
    let command = Args::command();
    let run = command.find_subcommand("run").unwrap();
    for flag in run.get_arguments().filter(|flag| flag.get_id() != "help") {
        let name = format!("APICREDENTIAL_{}", flag.get_long().unwrap().to_uppercase().replace('-', "_"));
        assert_eq!(flag.get_env().and_then(|env| env.to_str()), Some(name.as_str()));
    }
}

#[test]
fn the_help_is_the_reviewed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/run_help.txt");
    let help = Args::command().find_subcommand_mut("run").unwrap().render_long_help().to_string();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &help).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(help, golden, "run the test with UPDATE_GOLDEN=1 to accept the new text");
}

#[test]
fn an_invalid_value_is_rejected_with_the_name_of_its_flag() {
    for flags in [
        ["--provider-timeout", "15"],
        ["--resync", "1d"],
        ["--provider-rate", "fast"],
        ["--concurrency", "many"],
        ["--leader-election", "maybe"],
        ["--listen", "8080"],
        ["--health-listen", "8081"],
        ["--log-format", "xml"],
        ["--allowed-endpoints", "welkin=http://plain.example"],
    ] {
        let error = parse(&flags).expect_err(flags[1]);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(flags[0]), "{error}");
    }
    assert_eq!(parse(&["--leader-election"]).unwrap_err().kind(), ErrorKind::InvalidValue);
}

#[test]
fn a_value_out_of_bounds_is_rejected_with_its_flag_and_its_bounds() {
    for (flag, value) in [
        ("--provider-timeout", "1ms"),
        ("--provider-rate", "-1"),
        ("--provider-rate", "NaN"),
        ("--provider-rate", "inf"),
        ("--provider-burst", "0"),
        ("--concurrency", "0"),
        ("--concurrency", "1001"),
        ("--resync", "0s"),
        ("--retry-base", "0s"),
        ("--min-renewal-interval", "999ms"),
        ("--lease-duration", "15s"),
        ("--lease-duration", "60500ms"),
        ("--lease-duration", "2h"),
    ] {
        let text = error(&[&format!("{flag}={value}")]);
        assert!(text.starts_with(&format!("{flag} is out of bounds; set it to ")), "{text}");
    }
    assert!(
        check(&["--provider-rate", "0", "--provider-burst", "0"]).is_ok(),
        "without a rate limit the burst does not matter"
    );
}

#[test]
fn a_token_request_and_its_write_must_fit_into_half_of_the_lease_duration() {
    assert!(check(&["--provider-timeout", "20s"]).is_ok());
    let text = error(&["--provider-timeout", "20s1ms"]);
    assert!(text.contains("at most 20s") && text.contains("at least 61s"), "{text}");
    assert!(error(&["--leader-election", "false", "--provider-timeout", "30s"]).contains("--lease-duration"));
}

#[test]
fn the_lease_namespace_is_required_outside_of_a_pod_unless_leader_election_is_off() {
    let outside = |flags: &[&str]| parse(flags).unwrap().check_with(|| None);
    assert_eq!(outside(&[]), Err(ArgsError::LeaseNamespace));
    assert!(outside(&["--lease-namespace", "ops"]).is_ok());
    assert_eq!(outside(&["--leader-election", "false"]).unwrap().lease.election, None);
    assert!(error(&["--lease-namespace", "Ops"]).starts_with("--lease-namespace is \"Ops\""));
    assert!(error(&["--lease-name", ""]).starts_with("--lease-name is \"\""));
}

#[test]
fn namespaces_are_separated_by_commas_and_an_empty_list_means_all() {
    assert_eq!(check(&["--namespaces", "b, a,b"]).unwrap().namespaces, ["a", "b"]);
    assert!(check(&["--namespaces", ""]).unwrap().namespaces.is_empty());
    for list in ["a,,b", "A", "a_b", "-a", "a,"] {
        assert!(error(&[&format!("--namespaces={list}")]).starts_with("--namespaces has the entry"), "{list}");
    }
}

#[test]
fn allowed_endpoints_replace_the_whole_default() {
    let allowed = check(&["--allowed-endpoints", "qontak=https://qontak.test"]).unwrap().provider.allowed_endpoints;
    assert_eq!(allowed.to_string(), "qontak=https://qontak.test");
}

#[test]
fn allowed_target_metadata_replace_the_whole_default_and_an_empty_list_allows_none() {
    let allowed = |flags: &[&str]| check(flags).unwrap().allowed_target_metadata.to_string();
    let default = "app.kubernetes.io/component,app.kubernetes.io/name,app.kubernetes.io/part-of,app.kubernetes.io/version,reloader.stakater.com/match";
    assert_eq!(allowed(&[]), default);
    assert_eq!(allowed(&["--allowed-target-metadata", "team"]), "team");
    assert_eq!(allowed(&["--allowed-target-metadata="]), "");
    assert!(parse(&["--allowed-target-metadata", "argoproj.io/x"]).is_err());
}

#[test]
fn the_version_is_that_of_the_crate() {
    let error = Args::try_parse_from(["apicredential-operator", "--version"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisplayVersion);
    assert!(error.to_string().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_command_line_is_well_formed() {
    Args::command().debug_assert();
}
