//! The report as a tree.

use apicredential::annotations;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::secrets::{Key, Source, Target};
use super::{Happened, Problem, Report};
use crate::colour::{Colour, paint};
use crate::output::{Terminal, plain};
use crate::span::{relative, span, text};
use crate::tree::Branch;
use crate::view::good;

const HIDDEN: &str = "not shown: you may not read this Secret";

pub fn tree(report: &Report, now: Timestamp, terminal: &Terminal) -> Branch {
    let paint = |text: &str, colour| paint(text, terminal.colour(colour));
    let suspended = if report.suspended { ", suspended" } else { "" };
    let mut root = Branch::new(format!("{}/{} ({}{suspended})", report.namespace, report.name, report.provider));
    if let Some(problem) = &report.spec_problem {
        root.add(with_problem(Branch::new(paint("Spec", Colour::Bad)), Some(problem), terminal));
    }
    if let Some(it) = &report.source {
        root.add(source(it, report.provider, terminal));
    }
    if let Some(it) = &report.target {
        root.add(target(it, terminal));
    }
    root.line(token(report, now));
    root.add(attempts(report, now));
    root.add(conditions(report, now, terminal));
    root.add(events(report.events.as_deref(), now));
    let colour = if report.next.overdue { Colour::Bad } else { Colour::Good };
    let word = if report.next.overdue { paint("Next", colour) } else { "Next".to_owned() };
    root.line(format!("{word}: {}", plain(&report.next.what)));
    root
}

fn source(source: &Source, provider: &str, terminal: &Terminal) -> Branch {
    let mut branch = Branch::new(format!("Source: Secret {}", source.name));
    if !source.visible {
        branch.line(HIDDEN);
        return branch;
    }
    if source.exists {
        let label = format!("{}={}", annotations::SOURCE, provider.to_lowercase());
        branch.line(if source.consents {
            format!("consents: {label}")
        } else {
            format!("does not consent: no {label}")
        });
        branch.line(format!("keys: {}", source.keys.iter().map(key).collect::<Vec<_>>().join(", ")));
    }
    with_problem(branch, source.problem.as_ref(), terminal)
}

fn key(key: &Key) -> String {
    let state = match (key.present, key.optional) {
        (true, _) => "present",
        (false, true) => "absent, the public one is used",
        (false, false) => "missing",
    };
    format!("{} ({state})", key.name)
}

fn target(target: &Target, terminal: &Terminal) -> Branch {
    let mut branch = Branch::new(format!("Target: Secret {} ({:?})", target.name, target.creation_policy));
    if !target.visible {
        branch.line(HIDDEN);
        return branch;
    }
    match (target.exists, target.ours) {
        (false, _) if target.problem.is_none() => drop(branch.line("does not exist yet")),
        (true, true) => drop(branch.line(format!("written by this credential: keys {}", target.keys.join(", ")))),
        _ => {}
    }
    for difference in &target.drift {
        branch.line(format!("differs: {}", plain(difference)));
    }
    with_problem(branch, target.problem.as_ref(), terminal)
}

fn with_problem(mut branch: Branch, problem: Option<&Problem>, terminal: &Terminal) -> Branch {
    if let Some(problem) = problem {
        let reason = paint(problem.reason, terminal.colour(Colour::Bad));
        branch.line(format!("{reason}: {}", plain(&problem.message)));
    }
    branch
}

fn token(report: &Report, now: Timestamp) -> String {
    let Some(token) = &report.token else { return "Token: none".to_owned() };
    let issued = relative(token.issued_time.0, now);
    let expires = match &token.expiration_time {
        None => "never expires".to_owned(),
        Some(time) if time.0 > now => format!("expires {}", relative(time.0, now)),
        Some(time) => format!("expired {}", relative(time.0, now)),
    };
    let lifetime = token
        .lifetime_seconds
        .map(|seconds| format!(" of {}", text(SignedDuration::from_secs(seconds))))
        .unwrap_or_default();
    format!("Token: number {}, issued {issued}, {expires}{lifetime}", report.revision)
}

fn attempts(report: &Report, now: Timestamp) -> Branch {
    let mut branch = Branch::new(match &report.last_attempt {
        None => "Last attempt: none".to_owned(),
        Some(last) => format!("Last attempt: {}, {}", relative(last.time.0, now), plain(&last.reason)),
    });
    if report.failed_attempts > 0 {
        branch.line(format!("failed in a row: {}", report.failed_attempts));
    }
    if let Some(request) = &report.renew_request {
        let handled = match request.handled {
            Some(true) => "answered",
            Some(false) => "not answered yet",
            None => "answered or not: you may not read the target",
        };
        branch.line(format!("renewal asked for: {} ({handled})", plain(&request.text)));
    }
    branch
}

fn conditions(report: &Report, now: Timestamp, terminal: &Terminal) -> Branch {
    if report.conditions.is_empty() {
        return Branch::new("Conditions: none yet");
    }
    let stale =
        if report.generation > report.observed_generation { ", of the spec before the last change" } else { "" };
    let mut branch = Branch::new(format!("Conditions{stale}"));
    for condition in &report.conditions {
        let mut line = Branch::new(condition_line(condition, now, terminal));
        if let Some(remedy) = report.remedies.iter().find(|remedy| remedy.condition == condition.type_) {
            line.line(plain(&remedy.message));
        }
        branch.add(line);
    }
    branch
}

fn condition_line(condition: &Condition, now: Timestamp, terminal: &Terminal) -> String {
    let colour = Colour::of_status(&condition.status, good(&condition.type_));
    let status = paint(&condition.status, terminal.colour(colour));
    let since = span(condition.last_transition_time.0, now);
    format!("{}: {status} for {since}, {}", plain(&condition.type_), plain(&condition.reason))
}

fn events(events: Option<&[Happened]>, now: Timestamp) -> Branch {
    let Some(events) = events else { return Branch::new("Events: not shown, you may not list events.events.k8s.io") };
    if events.is_empty() {
        return Branch::new("Events: none; Kubernetes forgets them after an hour by default");
    }
    let mut branch = Branch::new("Events");
    for event in events {
        let when = event.time.map_or_else(|| "at some time".to_owned(), |time| relative(time, now));
        let times = if event.count > 1 { format!(" ({} times)", event.count) } else { String::new() };
        branch.line(format!("{when}{times}: {} {}: {}", plain(&event.type_), plain(&event.reason), plain(&event.note)));
    }
    branch
}
