//! Renders the report as a tree.

use apicredential::annotations;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::secrets::{KeyReport, SourceReport, TargetReport};
use super::{EventSummary, Problem, StatusReport};
use crate::colour::{Colour, paint};
use crate::conditions::healthy_status;
use crate::durations::{between, format_duration, relative};
use crate::output::{Terminal, sanitize};
use crate::text_tree::TreeNode;

const NOT_READABLE: &str = "not shown: you have no permission to get this Secret";

pub fn tree(report: &StatusReport, now: Timestamp, terminal: &Terminal) -> TreeNode {
    let paint = |text: &str, colour| paint(text, terminal.colour(colour));
    let suspended = if report.suspended { ", suspended" } else { "" };
    let mut root = TreeNode::new(format!("{} ({}{suspended})", qualified_name(report), report.provider));
    if let Some(problem) = &report.spec_problem {
        root.add(with_problem(TreeNode::new(paint("Spec", Colour::Bad)), Some(problem), terminal));
    }
    if let Some(it) = &report.source {
        root.add(source(it, report.provider, terminal));
    }
    if let Some(it) = &report.target {
        root.add(target(it, terminal));
    }
    root.add_text(token(report, now));
    root.add(attempts(report, now));
    root.add(conditions(report, now, terminal));
    root.add(events(report.events.as_deref(), now));
    let colour = if report.next.overdue { Colour::Bad } else { Colour::Good };
    let label = if report.next.overdue { paint("Next", colour) } else { "Next".to_owned() };
    root.add_text(format!("{label}: {}", sanitize(&report.next.what)));
    root
}

fn qualified_name(report: &StatusReport) -> String {
    sanitize(&format!("{}/{}", report.namespace, report.name))
}

fn source(source: &SourceReport, provider: &str, terminal: &Terminal) -> TreeNode {
    let mut node = TreeNode::new(format!("Source: Secret {}", sanitize(&source.name)));
    if !source.visible {
        node.add_text(NOT_READABLE);
        return node;
    }
    if source.exists {
        let label = format!("{}={}", annotations::SOURCE, provider.to_lowercase());
        node.add_text(if source.consents {
            format!("consents: {label}")
        } else {
            format!("does not consent: the label {label} is missing")
        });
        node.add_text(format!("keys: {}", source.keys.iter().map(key).collect::<Vec<_>>().join(", ")));
    }
    with_problem(node, source.problem.as_ref(), terminal)
}

fn key(key: &KeyReport) -> String {
    let state = if key.present { "present" } else { "missing" };
    format!("{} ({state})", sanitize(&key.name))
}

fn target(target: &TargetReport, terminal: &Terminal) -> TreeNode {
    let mut node = TreeNode::new(format!("Target: Secret {} ({:?})", sanitize(&target.name), target.creation_policy));
    if !target.visible {
        node.add_text(NOT_READABLE);
        return node;
    }
    match (target.exists, target.ours) {
        (false, _) if target.problem.is_none() => drop(node.add_text("does not exist yet")),
        (true, true) => {
            let keys = sanitize(&target.keys.join(", "));
            node.add_text(format!("written for this ApiCredential: keys {keys}"));
        }
        _ => {}
    }
    for difference in &target.drift {
        node.add_text(format!("drift: {}", sanitize(difference)));
    }
    with_problem(node, target.problem.as_ref(), terminal)
}

fn with_problem(mut node: TreeNode, problem: Option<&Problem>, terminal: &Terminal) -> TreeNode {
    if let Some(problem) = problem {
        let reason = paint(problem.reason, terminal.colour(Colour::Bad));
        node.add_text(format!("{reason}: {}", sanitize(&problem.message)));
    }
    node
}

fn token(report: &StatusReport, now: Timestamp) -> String {
    let Some(token) = &report.token else { return "Token: none".to_owned() };
    let issued = relative(token.issued_time.0, now);
    let expires = match &token.expiration_time {
        None => "never expires".to_owned(),
        Some(time) if time.0 > now => format!("expires {}", relative(time.0, now)),
        Some(time) => format!("expired {}", relative(time.0, now)),
    };
    let lifetime = token
        .lifetime_seconds
        .map(|seconds| format!(", lifetime {}", format_duration(SignedDuration::from_secs(seconds))))
        .unwrap_or_default();
    format!("Token: revision {}, issued {issued}, {expires}{lifetime}", report.revision)
}

fn attempts(report: &StatusReport, now: Timestamp) -> TreeNode {
    let mut node = TreeNode::new(match &report.last_attempt {
        None => "Last attempt: none".to_owned(),
        Some(last) => format!("Last attempt: {}, {}", relative(last.time.0, now), sanitize(&last.reason)),
    });
    if report.failed_attempts > 0 {
        node.add_text(format!("consecutive failures: {}", report.failed_attempts));
    }
    if let Some(request) = &report.renew_request {
        let handled = match request.handled {
            Some(true) => "handled",
            Some(false) => "not handled yet",
            None => "unknown whether handled: you have no permission to get the target Secret",
        };
        node.add_text(format!("renewal requested: {} ({handled})", sanitize(&request.text)));
    }
    node
}

fn conditions(report: &StatusReport, now: Timestamp, terminal: &Terminal) -> TreeNode {
    if report.conditions.is_empty() {
        return TreeNode::new("Conditions: none yet");
    }
    let stale =
        if report.generation > report.observed_generation { " (for the spec before the last change)" } else { "" };
    let mut node = TreeNode::new(format!("Conditions{stale}"));
    for condition in &report.conditions {
        let mut line = TreeNode::new(condition_line(condition, now, terminal));
        if let Some(remedy) = report.remedies.iter().find(|remedy| remedy.condition == condition.type_) {
            line.add_text(sanitize(&remedy.message));
        }
        node.add(line);
    }
    node
}

fn condition_line(condition: &Condition, now: Timestamp, terminal: &Terminal) -> String {
    let colour = Colour::of_status(&condition.status, healthy_status(&condition.type_));
    let status = paint(&sanitize(&condition.status), terminal.colour(colour));
    let since = between(condition.last_transition_time.0, now);
    format!("{}: {status} for {since}, {}", sanitize(&condition.type_), sanitize(&condition.reason))
}

fn events(events: Option<&[EventSummary]>, now: Timestamp) -> TreeNode {
    let Some(events) = events else {
        return TreeNode::new("Events: not shown: you have no permission to list events.events.k8s.io");
    };
    if events.is_empty() {
        return TreeNode::new("Events: none; Kubernetes deletes events after one hour by default");
    }
    let mut node = TreeNode::new("Events");
    for event in events {
        let when = event.time.map_or_else(|| "at an unknown time".to_owned(), |time| relative(time, now));
        let times = if event.count > 1 { format!(" ({} times)", event.count) } else { String::new() };
        node.add_text(format!(
            "{when}{times}: {} {}: {}",
            sanitize(&event.type_),
            sanitize(&event.reason),
            sanitize(&event.note)
        ));
    }
    node
}
