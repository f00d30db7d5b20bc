//! What earlier reads of the source Secret mean for this reconcile: whether it still has the values that the stored token
//! was made from.
//!
//! Nothing that is derived from the values is stored: whoever may read the target Secret could test guesses of the login
//! against it. So only the process that made the token from them, or that read them in the very revision which the target
//! Secret names, can compare values. Another one knows the revision.

use std::time::Duration;

use apicredential::plan::Plan;
use apicredential::revision::Revision;
use apicredential::schedule;
use apicredential::source::SecretValues;
use apicredential::target::ownership;
use apicredential::target::render::TokenRecord;
use jiff::Timestamp;

use super::attempt_history::values_mac;
use super::history::TokenSource;
use super::reconciliation::Reconciliation;
use crate::clock::SuspendAwareInstant;

/// A source Secret that is touched over and over is named in the target Secret at most once in this time.
const NAMING_INTERVAL: Duration = Duration::from_secs(600);

/// Whether the watch shows the source Secret that the token was made from, or one that was compared with it since, and
/// the token was made for this spec: which keys are used may change with the spec.
pub(super) fn is_source_unchanged(run: &Reconciliation, plan: &Plan, record: &TokenRecord) -> bool {
    let source = run.snapshot.source.as_ref();
    let source = source.filter(|source| source.is_present && run.context.issuer.watch.is_healthy());
    let is_known = source.is_some_and(|source| {
        let touched = token_source(run, record).and_then(|known| known.touched.as_ref());
        source.revision.as_str() == record.source_version || touched == Some(&source.revision)
    });
    is_known && ownership::fits(record, plan)
}

/// Whether the token was made from these values, as far as is known. If so, their revision is remembered.
pub(super) fn is_made_from(run: &mut Reconciliation, record: &TokenRecord, values: &SecretValues) -> bool {
    let is_same = values.version == record.source_version
        || token_source(run, record).is_some_and(|known| known.values == values_mac(run, Some(values)));
    if is_same {
        remember(run, record, values);
    }
    is_same
}

/// Remembers that the token was made from these values.
pub(super) fn remember(run: &mut Reconciliation, record: &TokenRecord, values: &SecretValues) {
    let is_named = values.version == record.source_version;
    run.history.token_source = Some(Box::new(TokenSource {
        token: record.fingerprint.clone(),
        values: values_mac(run, Some(values)),
        touched: (!is_named).then(|| Revision::from(values.version.as_str())),
    }));
}

/// The revision that the target Secret should name as the source of its token in place of the one that it names, and
/// from when on. Without it the next process could not tell a touched source Secret from a changed one.
pub(super) fn revision_to_name(
    run: &Reconciliation,
    record: &TokenRecord,
    now: Timestamp,
) -> Option<(Revision, Timestamp)> {
    let revision = token_source(run, record)?.touched.as_ref()?;
    let time = run
        .history
        .source_named
        .as_ref()
        .map_or(now, |named| schedule::after(now, NAMING_INTERVAL.saturating_sub(named.elapsed())));
    (revision.as_str() != record.source_version).then(|| (revision.clone(), time))
}

/// The source Secret is about to be named, whether or not that succeeds: a write that fails is not repeated at each touch.
pub(super) fn note_naming(run: &mut Reconciliation) {
    run.history.source_named = Some(SuspendAwareInstant::now());
}

/// What is known of the source of this token.
fn token_source<'a>(run: &'a Reconciliation, record: &TokenRecord) -> Option<&'a TokenSource> {
    run.history.token_source.as_deref().filter(|known| known.token == record.fingerprint)
}
