use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::{debug, info, trace, trace_span, warn};

use super::*;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log of `act` with this filter.
fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn log_from_dependencies(secret: &str) {
    warn!(target: "kube_client::client", "{secret}");
    trace!(target: "kube_client::client", "headers: {secret}");
    warn!(target: "kube_client::client::builder", secret);
    warn!(target: "kube_client::config", secret);
    warn!(target: "kube_runtime::watcher", "watcher error 403: {secret}");
    debug!(target: "hyper::proto::h1::io", secret);
    debug!(target: "hyper_util::client::legacy::client", secret);
    trace!(target: "hyper_util::client::legacy::connect::http", secret);
    debug!(target: "h2::codec::framed_write", secret);
    trace!(target: "reqwest::connect::verbose", secret);
    debug!(target: "rustls::client::hs", secret);
    trace!(target: "tower::buffer::worker", secret);
    trace!(target: "tower_http::trace", secret);
    trace!(target: "axum::rejection", secret);
    warn!(target: "some_new_dependency", secret);
}

#[test]
fn targets_that_may_log_bodies_or_headers_are_off_whatever_the_users_filter_is() {
    for filter in [
        "trace",
        "trace,kube_client::client=trace",
        "off,kube_client=trace,kube_client::client::builder=trace,kube_runtime::watcher=trace",
        "[{secret}]=trace,trace",
        "info,hyper=trace,h2=trace,rustls=trace,reqwest=trace,tower=trace,some_new_dependency=trace",
    ] {
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = logged(format, filter, || log_from_dependencies("hunter2"));
            assert_eq!(text, "", "{filter}");
        }
    }
}

#[test]
fn a_span_of_a_target_that_is_off_is_not_logged_with_the_entries_inside_it() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let text = logged(format, "trace", || {
            let _span = trace_span!(target: "kube_client::client::builder", "HTTP", http.url = "hunter2").entered();
            info!("inside");
        });
        assert!(text.contains("inside") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_users_filter_applies_to_all_other_targets() {
    let log = || {
        info!("ours");
        debug!("ours in detail");
        debug!(target: "kube_runtime::controller", "theirs in detail");
    };
    let text = logged(LogFormat::Text, "info", log);
    assert!(text.contains("ours") && !text.contains("detail"), "{text}");
    let text = logged(LogFormat::Text, "info,kube=debug", log);
    assert!(text.contains("theirs in detail") && !text.contains("ours in detail"), "{text}");
    assert_eq!(logged(LogFormat::Text, "off", log), "");
}

#[test]
fn json_is_one_flat_object_per_line() {
    let text = logged(LogFormat::Json, "info", || {
        let _span = tracing::info_span!("reconcile", object = "care/welkin").entered();
        info!(reason = "Issued", "exchange ended");
    });
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["message"], "exchange ended");
    assert_eq!(line["reason"], "Issued");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["span"]["object"], "care/welkin");
    assert!(line["timestamp"].is_string());
}

#[test]
fn text_has_no_escape_sequences() {
    assert!(!logged(LogFormat::Text, "info", || info!("plain")).contains('\u{1b}'));
}

#[test]
fn a_panic_is_logged_with_its_source_location_and_without_its_message() {
    let text = logged(LogFormat::Json, "info", || {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let secret = "hunter2".to_owned();
        let caught = panic::catch_unwind(|| panic!("cannot parse {secret}"));
        panic::set_hook(previous);
        assert!(caught.is_err());
    });
    assert!(text.contains("\"message\":\"a thread panicked") && text.contains("telemetry_test.rs:"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn an_invalid_filter_is_rejected_and_not_repeated_in_the_message() {
    let error = subscriber(LogFormat::Json, "info,=what=", io::sink).err().unwrap();
    assert_eq!(error, TelemetryError::Filter);
    assert!(error.to_string().starts_with("--log ") && !error.to_string().contains("what"));
}
