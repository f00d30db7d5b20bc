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

/// What is logged under a filter while `act` runs.
fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn dependencies_say(secret: &str) {
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
fn what_may_print_bodies_or_headers_is_silent_whatever_the_user_asks() {
    for filter in [
        "trace",
        "trace,kube_client::client=trace",
        "off,kube_client=trace,kube_client::client::builder=trace,kube_runtime::watcher=trace",
        "[{secret}]=trace,trace",
        "info,hyper=trace,h2=trace,rustls=trace,reqwest=trace,tower=trace,some_new_dependency=trace",
    ] {
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = logged(format, filter, || dependencies_say("hunter2"));
            assert_eq!(text, "", "{filter}");
        }
    }
}

#[test]
fn a_silent_span_does_not_speak_through_the_lines_inside_it() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let text = logged(format, "trace", || {
            let _span = trace_span!(target: "kube_client::client::builder", "HTTP", http.url = "hunter2").entered();
            info!("inside");
        });
        assert!(text.contains("inside") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_users_filter_decides_about_the_rest() {
    let speak = || {
        info!("ours");
        debug!("ours in detail");
        debug!(target: "kube_runtime::controller", "theirs in detail");
    };
    let text = logged(LogFormat::Text, "info", speak);
    assert!(text.contains("ours") && !text.contains("detail"), "{text}");
    let text = logged(LogFormat::Text, "info,kube=debug", speak);
    assert!(text.contains("theirs in detail") && !text.contains("ours in detail"), "{text}");
    assert_eq!(logged(LogFormat::Text, "off", speak), "");
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
fn a_panic_is_logged_by_its_place_and_never_by_its_text() {
    let text = logged(LogFormat::Json, "info", || {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let secret = "hunter2".to_owned();
        let caught = panic::catch_unwind(|| panic!("cannot parse {secret}"));
        panic::set_hook(previous);
        assert!(caught.is_err());
    });
    assert!(text.contains("\"message\":\"panic\"") && text.contains("telemetry_test.rs:"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_filter_that_is_none_is_refused_without_repeating_it() {
    let refused = subscriber(LogFormat::Json, "info,=what=", io::sink).err().unwrap();
    assert_eq!(refused, TelemetryError::Filter);
    assert!(refused.to_string().starts_with("--log ") && !refused.to_string().contains("what"));
}
