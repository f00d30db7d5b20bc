//! The text that Prometheus scrapes.

use super::*;

fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find(|line| line.starts_with(start))
}

fn expiry() -> Option<i64> {
    Some(1_800_000_000)
}

#[test]
fn the_names_are_those_of_the_design_with_one_suffix_each() {
    let metrics = Metrics::new();
    metrics.exchange_ended(Provider::Welkin, Reason::Issued, Duration::from_millis(70));
    metrics.token_renewed(Provider::Qontak, "due");
    metrics.token_checked(Provider::Qontak, Reason::TokenAccepted);
    metrics.renewal_lateness(3.0);
    metrics.set_credential(
        &Key::new("care", "welkin"),
        CredentialGauges { ready: true, expires: expiry(), ..CredentialGauges::default() },
    );
    let text = metrics.encode();
    for expected in [
        concat!("apicredential_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "apicredential_exchanges_total{provider=\"Welkin\",outcome=\"Issued\"} 1",
        "apicredential_exchange_duration_seconds_bucket{le=\"0.1\",provider=\"Welkin\"} 1",
        "apicredential_exchange_duration_seconds_count{provider=\"Welkin\"} 1",
        "apicredential_renewals_total{provider=\"Qontak\",cause=\"due\"} 1",
        "apicredential_verifications_total{provider=\"Qontak\",outcome=\"TokenAccepted\"} 1",
        "apicredential_renewal_lateness_seconds_sum 3.0",
        "apicredential_token_expiry_timestamp_seconds{resource_namespace=\"care\",resource_name=\"welkin\"} 1800000000",
        "apicredential_ready{resource_namespace=\"care\",resource_name=\"welkin\"} 1",
    ] {
        assert_eq!(line(&text, expected), Some(expected), "{text}");
    }
    assert!(text.ends_with("# EOF\n") && !text.contains("_total_total") && !text.contains("_info_info"));
}

#[test]
fn the_series_of_a_deleted_credential_are_removed() {
    let metrics = Metrics::new();
    metrics.set_credential(
        &Key::new("a", "gone"),
        CredentialGauges { ready: true, expires: expiry(), ..CredentialGauges::default() },
    );
    metrics.set_credential(
        &Key::new("a", "stays"),
        CredentialGauges { ready: false, expires: expiry(), ..CredentialGauges::default() },
    );
    metrics.remove_credential(&Key::new("a", "gone"));
    let text = metrics.encode();
    assert!(
        !text.contains("gone")
            && text.contains("apicredential_ready{resource_namespace=\"a\",resource_name=\"stays\"} 0")
    );
}

#[test]
fn a_token_without_an_expiry_has_no_expiry_series() {
    let metrics = Metrics::new();
    metrics.set_credential(
        &Key::new("a", "b"),
        CredentialGauges { ready: true, expires: expiry(), ..CredentialGauges::default() },
    );
    metrics.set_credential(&Key::new("a", "b"), CredentialGauges { ready: true, ..CredentialGauges::default() });
    let text = metrics.encode();
    assert_eq!(line(&text, "apicredential_token_expiry_timestamp_seconds{"), None);
    assert!(line(&text, "apicredential_ready{").is_some());
}

#[test]
fn a_replica_that_lost_leadership_removes_the_series_of_credentials_and_keeps_the_counters() {
    let metrics = Metrics::new();
    metrics.set_credential(
        &Key::new("a", "b"),
        CredentialGauges { ready: true, expires: expiry(), ..CredentialGauges::default() },
    );
    metrics.exchange_ended(Provider::Qontak, Reason::RateLimited, Duration::ZERO);
    metrics.clear_credentials();
    let text = metrics.encode();
    assert!(!text.contains("resource_namespace=") && text.contains("outcome=\"RateLimited\"} 1"));
}

#[test]
fn an_early_renewal_counts_as_punctual_and_an_invalid_number_is_ignored() {
    let metrics = Metrics::new();
    for seconds in [-5.0, 0.0, f64::NAN, f64::INFINITY] {
        metrics.renewal_lateness(seconds);
    }
    let text = metrics.encode();
    assert!(line(&text, "apicredential_renewal_lateness_seconds_sum 0.0").is_some(), "{text}");
    assert!(line(&text, "apicredential_renewal_lateness_seconds_count 2").is_some(), "{text}");
}

#[test]
fn label_values_are_escaped() {
    let metrics = Metrics::new();
    metrics.set_credential(
        &Key::new("a", "quote\"back\\slash\nline"),
        CredentialGauges { ready: true, ..CredentialGauges::default() },
    );
    assert!(metrics.encode().contains(r#"name="quote\"back\\slash\nline""#));
}

#[test]
fn a_renewal_that_is_postponed_because_the_token_was_not_extended_is_not_overdue() {
    let renewal = |reason: &str, failed: u32| {
        let status = serde_json::from_value(serde_json::json!({
            "renewalTime": "2026-01-01T00:40:00Z", "nextAttemptTime": "2026-01-01T00:59:00Z", "failedAttempts": failed,
            "lastAttempt": {
                "time": "2026-01-01T00:40:00Z", "reason": reason, "generation": 1,
                "source": {"uid": "a", "resourceVersion": "1"},
            },
        }));
        CredentialGauges::of(&status.unwrap_or_default(), false).renewal
    };
    let at = |time: &str| time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
    assert_eq!(renewal("TokenNotExtended", 0), at("2026-01-01T00:59:00Z"));
    assert_eq!(renewal("ProviderTimeout", 1), at("2026-01-01T00:40:00Z"));
}
