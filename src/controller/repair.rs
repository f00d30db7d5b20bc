//! The repair of a target whose token is intact: our part of the Secret is written again, without an exchange.

use apicredential::annotations;
use apicredential::reason::Reason;
use apicredential::target::render::render;

use kube::ResourceExt as _;

use super::backoff::after_failed_write;
use super::observe::{Observation, Reads, Step, TargetRead};
use super::reconciliation::{Outcome, Reconciliation};
use super::source_history::note_naming;
use super::status_writer::report_refusal;
use super::token_issuer::write::WriteError;
use crate::kube_api::ApiError;

/// Writes our part of the Secret again, from the token in it.
pub(super) async fn repair(run: &mut Reconciliation, observation: &Observation) -> Step {
    let (Ok(plan), Some(current), Some(record)) = (run.plan.clone(), &observation.secret, &observation.record) else {
        return Step::End(Outcome::Unsettled(run.retry_soon()));
    };
    if current.annotations().get(annotations::SOURCE_VERSION) != Some(&record.source_version) {
        note_naming(run);
    }
    let error = match run.context.issuer.repair(&run.credential, &plan, record, current).await {
        Ok(secret) => {
            tracing::info!(
                namespace = run.key.namespace(),
                name = run.key.name(),
                "the target Secret was repaired from the token in it"
            );
            let failed = run.history.failed_writes;
            run.history.note_write(&secret);
            if render(&run.credential, &plan, record).to_patch(&secret).is_none() {
                return Step::ObserveAgain(Reads { target: TargetRead::Known(Box::new(secret)), ..Reads::default() });
            }
            // Something in the cluster changes what is written. Another repair would be changed, too.
            run.history.failed_writes = failed;
            report_refusal(run, observation, Reason::TargetWriteRejected).await;
            return Step::End(Outcome::Settled(after_failed_write(run)));
        }
        Err(WriteError::Api(ApiError::Conflict | ApiError::NotFound)) => return Step::ObserveAgain(Reads::default()),
        Err(WriteError::Api(error)) => error,
        Err(WriteError::NotAllowed | WriteError::TooLate | WriteError::Expired) => {
            return Step::End(Outcome::Unsettled(run.retry_soon()));
        }
    };
    report_refusal(run, observation, error.refusal()).await;
    Step::End(Outcome::Unsettled(after_failed_write(run)))
}
