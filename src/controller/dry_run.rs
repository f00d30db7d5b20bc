//! The dry run of a write, where the API server may reject it: an exchange whose token cannot be stored is not made.

use apicredential::api::{CreationPolicy, condition_type};
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use kube::ResourceExt as _;

use super::backoff::after_failed_write;
use super::observe::Observation;
use super::reconciliation::{Outcome, Reconciliation};
use super::status_input::status_input;
use super::status_writer::write_status;
use crate::kube_api::ApiError;

/// Where the target vanished or the last write failed, asks the API server whether it would accept the write now. Returns the
/// outcome of the reconcile if it would not.
pub(super) async fn dry_run_write(run: &mut Reconciliation, plan: &Plan, observation: &Observation) -> Option<Outcome> {
    let vanished = observation.secret.is_none() && had_target(run);
    let lost = run.status().unresolved_failure().is_some_and(|reason| {
        use Reason::{ApiUnavailable, Forbidden, TargetWriteRejected, Unauthorized};
        matches!(reason, TargetWriteRejected | Forbidden | Unauthorized | ApiUnavailable)
    });
    if !(vanished || lost || run.history.dry_run_first) {
        return None;
    }
    let dry_run = run.context.issuer.dry_run_write(&run.credential, plan, observation.secret.as_ref()).await;
    let Err(error) = dry_run else {
        let is_gone = (vanished || run.history.dry_run_first) && is_gone(run).await;
        return is_gone.then(|| Outcome::Unsettled(run.retry_soon()));
    };
    let next = after_failed_write(run);
    if error != ApiError::NamespaceTerminating {
        let mut input = status_input(run, observation);
        if observation.secret.is_none() {
            input.target_refusal = Some(error.refusal());
        } else {
            input.refusal = Some(error.refusal());
        }
        write_status(run, input).await;
    }
    Some(Outcome::Unsettled(next))
}

/// A Secret that vanished, or a token that was discarded, may have gone with its ApiCredential, whose end the watch has not
/// shown yet.
async fn is_gone(run: &Reconciliation) -> bool {
    match run.context.issuer.kube.read_credential(run.key.namespace(), run.key.name()).await {
        Ok(Some(live)) => live.uid().as_deref() != Some(run.uid()) || live.metadata.deletion_timestamp.is_some(),
        Ok(None) => true,
        Err(_unclear) => false,
    }
}

/// The target was ours once.
fn had_target(run: &Reconciliation) -> bool {
    run.history.target_known || run.status().revision.unwrap_or(0) > 0
}

/// Whether a source is gone because its whole namespace is being deleted, which is not reported. Asked once, before the
/// refusal is reported: a dry-run create is what such a namespace rejects first, even if the Secret is still there.
pub(super) async fn is_namespace_terminating(run: &Reconciliation, refusal: &Refusal) -> bool {
    let Some(plan) = run.plan.as_ref().ok().filter(|plan| plan.target.policy == CreationPolicy::Owner) else {
        return false;
    };
    let is_reported = run.status().has_reason(condition_type::RENEWED, refusal.reason);
    if refusal.reason != Reason::SourceSecretNotFound || is_reported || !had_target(run) {
        return false;
    }
    run.context.issuer.dry_run_write(&run.credential, plan, None).await == Err(ApiError::NamespaceTerminating)
}
