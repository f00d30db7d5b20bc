//! Every bad response, through the whole operator: its reason, its class, its next attempt; the last good token is
//! kept, and no part of the response appears anywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential::reason::{Class, Reason};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;

use self::rows::{Row, rows};
use crate::hostile::{self, FIRST, SECOND, THIRD, each, has_failed, is_settled};
use crate::support::operator::Operator;
use crate::support::provider::{Client, MockProvider};
use crate::support::space::{Space, condition, message};

mod rows;

/// `--retry-base` of a patient operator, in seconds: so long that nothing is retried, and no two classes overlap.
const BASE: i64 = 300;

/// The fixture of a test.
struct Stage {
    space: Space,
    mock_provider: MockProvider,
    /// The location of redirects.
    elsewhere: MockProvider,
    operator: Operator,
    cases: Vec<(Row, Client)>,
}

impl Stage {
    async fn set() -> Self {
        let (space, mock_provider, elsewhere) = (Space::new().await, MockProvider::start(), MockProvider::start());
        let settings = hostile::patient(&space, &mock_provider).endpoints(&[&mock_provider, &elsewhere], &[]);
        let cases = rows(&elsewhere);
        let cases = cases.into_iter().map(|row| {
            let client = hostile::client(&mock_provider, row.provider, row.name);
            (row, client)
        });
        let cases = cases.collect();
        let operator = settings.start().await;
        Self { space, mock_provider, elsewhere, operator, cases }
    }

    async fn create(&self) {
        let (space, mock_provider) = (&self.space, &self.mock_provider);
        each(&self.cases, async |(row, client)| {
            hostile::credential(space, mock_provider, client, row.provider, row.name).await;
        })
        .await;
    }

    fn become_hostile(&self) {
        for (row, client) in &self.cases {
            client.always(row.reply.clone());
        }
    }

    async fn change_sources(&self, secret: &str) {
        let space = &self.space;
        each(&self.cases, async |(row, _)| hostile::source(space, row.provider, row.name, secret).await).await;
    }

    async fn credentials(&self) -> BTreeMap<String, ApiCredential> {
        let all = self.space.credentials.list(&ListParams::default()).await.unwrap();
        all.into_iter().map(|credential| (credential.name_any(), credential)).collect()
    }

    async fn tokens(&self) -> BTreeMap<String, Secret> {
        let all = self.space.secrets.list(&ListParams::default()).await.unwrap().into_iter();
        all.map(|secret| (secret.name_any(), secret)).filter(|(name, _)| name.ends_with("-token")).collect()
    }

    async fn failed(&self) {
        hostile::wait_for_all(&self.space, "every attempt has failed", self.cases.len(), has_failed).await;
        let events = async || {
            let all = self.space.events.list(&ListParams::default()).await.ok()?;
            let warnings = all.iter().filter(|event| event.type_.as_deref() == Some("Warning")).count();
            (warnings == self.cases.len()).then_some(())
        };
        self.space.wait_for("every failure has its one event", events).await;
    }

    /// Checks every ApiCredential against its row, and reports all differences.
    async fn check(&self, requests: usize, conditions: impl Fn(Reason) -> Vec<String>) {
        let credentials = self.credentials().await;
        let mut wrong = Vec::new();
        for (row, client) in &self.cases {
            let credential = &credentials[row.name];
            let mut expect = |what: &str, found: String, expected: String| {
                if found != expected {
                    wrong.push(format!("{}: {what} is {found}, not {expected}", row.name));
                }
            };
            let found: Vec<String> = ["Ready", "Renewed", "SourceResolved", "Reconciling", "Stalled"]
                .iter()
                .filter_map(|type_| Some(format!("{type_}={}", condition(credential, type_)?)))
                .collect();
            expect("the conditions", format!("{found:?}"), format!("{:?}", conditions(row.reason)));
            expect("the message", message(credential, "Renewed").unwrap(), row.reason.message().to_owned());
            expect("the number of requests", client.count().to_string(), requests.to_string());
            let status = hostile::status(credential);
            expect("failedAttempts", format!("{:?}", status.failed_attempts), "Some(1)".to_owned());
            let last = status.last_attempt.unwrap();
            expect("lastAttempt.reason", last.reason, row.reason.to_string());
            wrong.extend(too_early_or_late(row, credential));
        }
        wrong.extend(self.events_that_differ_from_rows().await);
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!((self.elsewhere.total(), self.elsewhere.connections()), (0, 0), "a redirect was followed");
        assert_eq!(self.mock_provider.strangers(), Vec::<String>::new());
    }

    /// One Warning for each row, with its reason and its fixed sentence.
    async fn events_that_differ_from_rows(&self) -> Vec<String> {
        let all = self.space.events.list(&ListParams::default()).await.unwrap();
        let warnings = all.iter().filter(|event| event.type_.as_deref() == Some("Warning"));
        let reported: BTreeMap<_, _> = warnings
            .map(|event| {
                let about = event.regarding.as_ref().and_then(|about| about.name.clone()).unwrap_or_default();
                (about, (event.reason.clone().unwrap_or_default(), event.note.clone().unwrap_or_default()))
            })
            .collect();
        let expected = |row: &Row| Some((row.reason.to_string(), row.reason.message().to_owned()));
        let unlike = self.cases.iter().filter(|(row, _)| reported.get(row.name).cloned() != expected(row));
        unlike.map(|(row, _)| format!("{}: the event is {:?}", row.name, reported.get(row.name))).collect()
    }

    /// The search includes the last output of the operator.
    async fn ends_without_a_leak(&self) {
        let metrics = self.operator.metrics().await;
        for (row, _) in &self.cases {
            let outcome = format!("outcome=\"{}\"}}", row.reason);
            assert!(metrics.contains(&outcome), "{outcome} is not among the metrics");
        }
        self.space.assert_no_leaks(&hostile::sentinels()).await;
        let status = self.operator.terminate(Duration::from_secs(25)).await;
        assert!(status.success(), "{status}");
        self.space.assert_no_leaks(&hostile::sentinels()).await;
    }
}

/// The first delay of the row's class, half of it at least, counted from some time between the request and its end.
fn too_early_or_late(row: &Row, credential: &ApiCredential) -> Option<String> {
    let full = match row.reason.class() {
        Class::Transient => BASE,
        _ => 12 * BASE,
    };
    let (last, next) = hostile::last_and_next(credential);
    let delay = next.as_second() - last.as_second();
    // The request took a while, and a busy machine is slow.
    let fits = (full / 2..=full + 60).contains(&delay);
    (!fits).then(|| format!("{}: the next attempt comes after {delay} s", row.name))
}

#[tokio::test]
async fn a_bad_response_leaves_the_last_good_token_byte_for_byte_and_new_values_are_tried_at_once() {
    let stage = Stage::set().await;
    stage.create().await;
    hostile::wait_for_all(&stage.space, "every first token", stage.cases.len(), is_settled).await;
    let before = stage.tokens().await;
    assert_eq!(before.len(), stage.cases.len());

    stage.become_hostile();
    stage.change_sources(SECOND).await;
    stage.failed().await;
    let expected = |reason| {
        let renewed = format!("Renewed=False/{reason}");
        vec!["Ready=True/RenewalFailing".to_owned(), renewed, "SourceResolved=True/SourceResolved".to_owned()]
    };
    stage.check(2, expected).await;
    assert_eq!(stage.tokens().await, before, "a Secret changed though no token came");

    for (row, client) in &stage.cases {
        client.always(hostile::token(row.provider));
    }
    stage.change_sources(THIRD).await;
    hostile::wait_for_all(&stage.space, "every token after the repair", stage.cases.len(), is_settled).await;
    for (row, client) in &stage.cases {
        let secrets: Vec<_> = client.requests().into_iter().map(|request| request.secret).collect();
        assert_eq!(secrets, [FIRST, SECOND, THIRD], "{}", row.name);
    }
    for (name, credential) in stage.credentials().await {
        let status = hostile::status(&credential);
        assert_eq!((status.failed_attempts, status.next_attempt_time), (Some(0), None), "{name}");
        assert_eq!(status.revision, Some(2), "{name}");
    }
    stage.ends_without_a_leak().await;
}

#[tokio::test]
async fn a_bad_first_response_is_reported_by_class_and_no_secret_is_written() {
    let stage = Stage::set().await;
    stage.become_hostile();
    stage.create().await;
    stage.failed().await;
    let expected = |reason: Reason| {
        let trouble = if reason.class() == Class::Transient { "Reconciling" } else { "Stalled" };
        vec![
            format!("Ready=False/{reason}"),
            format!("Renewed=False/{reason}"),
            "SourceResolved=True/SourceResolved".to_owned(),
            format!("{trouble}=True/{reason}"),
        ]
    };
    stage.check(1, expected).await;
    assert_eq!(stage.tokens().await.into_keys().collect::<Vec<_>>(), Vec::<String>::new());
    stage.ends_without_a_leak().await;
}
