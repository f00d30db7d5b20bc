//! The guarded write: which checks stand before it, and what follows a conflict or a lost answer.

use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule::Expiry;
use apicredential::target::fingerprint::Fingerprint;
use apicredential::target::ownership::{self, Target};
use apicredential::target::render::{self, Found, Minted, render};
use apicredential::target::write_guard::{self, Halt, Moment};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use secrecy::ExposeSecret as _;

use super::{Courier, Ending, Errand};
use crate::clock::{self, Mark};
use crate::kube_api::{Fault, WRITE};

#[cfg(test)]
mod tests;

/// How often a conflict or a lost answer is followed up: the deadline ends it sooner.
const ROUNDS: usize = 8;
/// Between two looks at an API server that does not answer.
const PAUSE: Duration = Duration::from_millis(250);

impl Courier {
    /// Writes a new token, however often it takes, until half a lease after it was asked for.
    pub(super) async fn deliver(&self, errand: &Errand, minted: Minted, assumed: bool, mark: &Mark) -> Ending {
        let mut target = errand.target.clone();
        for _round in 0..ROUNDS {
            let Some((credential, plan)) = (match self.still_wanted(errand, mark).await {
                Ok(wanted) => wanted,
                Err(refusal) => return Ending::lost(refusal),
            }) else {
                return Ending::Discarded;
            };
            let written = self.write(&credential, &plan, &minted, target.as_ref(), mark).await;
            match written {
                Ok(secret) if holds(&secret, &plan, &minted) => {
                    return Ending::Written { secret: Box::new(secret), assumed };
                }
                // Something in between changed what was written. Another exchange would end no better.
                Ok(_other) => return Ending::lost(Reason::TargetWriteRejected),
                Err(WriteError::NotAllowed) | Err(WriteError::Api(Fault::NamespaceTerminating)) => {
                    return Ending::Discarded;
                }
                Err(WriteError::TooLate) => return Ending::lost(Reason::ApiUnavailable),
                Err(WriteError::Expired) => return Ending::lost(Reason::TokenAlreadyExpired),
                Err(WriteError::Api(fault @ (Fault::Forbidden | Fault::Rejected))) => {
                    return Ending::lost(fault.reason());
                }
                Err(WriteError::Api(Fault::Conflict | Fault::NotFound | Fault::Unavailable)) => {}
            }
            // Another version, or nobody knows whether it was written: look before writing again.
            match self.look_again(&credential, &plan, &minted, mark).await {
                Ok(Again::Write(found)) => target = found.map(|secret| *secret),
                Ok(Again::Ours(secret)) => return Ending::Written { secret, assumed },
                Ok(Again::Newer) => return Ending::Discarded,
                Err(refusal) => return Ending::lost(refusal),
            }
        }
        Ending::lost(Reason::ApiUnavailable)
    }

    /// The credential as it is now, if it still asks for this token.
    async fn still_wanted(&self, errand: &Errand, mark: &Mark) -> Result<Option<(ApiCredential, Plan)>, Refusal> {
        let (namespace, name) = (errand.credential.namespace().unwrap_or_default(), errand.credential.name_any());
        loop {
            if !self.time_left(mark) {
                return Err(Reason::ApiUnavailable.into());
            }
            match self.cluster.credential(&namespace, &name).await {
                Ok(None) => return Ok(None),
                Ok(Some(live)) => {
                    let same = live.uid() == errand.credential.uid() && live.metadata.deletion_timestamp.is_none();
                    if !same {
                        return Ok(None);
                    }
                    let plan = errand.plan.renewed(&live.spec);
                    return Ok(plan.filter(|plan| plan.asks_the_same(&errand.plan)).map(|plan| (live, plan)));
                }
                Err(fault @ (Fault::Forbidden | Fault::Rejected)) => return Err(fault.reason().into()),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn write(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        minted: &Minted,
        target: Option<&Secret>,
        mark: &Mark,
    ) -> Result<Secret, WriteError> {
        let rendering = render(credential, plan, minted);
        let namespace = credential.namespace().unwrap_or_default();
        // Nothing is awaited between this check and the write itself.
        write_guard::before_write(minted.expiry, &self.moment(mark))?;
        match target {
            None => {
                let secret = rendering.to_new_secret(credential, &plan.target.name);
                Ok(self.cluster.create_secret(&secret, false).await?)
            }
            Some(current) => match rendering.to_patch(current) {
                None => Ok(current.clone()),
                Some(patch) => Ok(self.cluster.patch_secret(&namespace, &plan.target.name, &patch, false).await?),
            },
        }
    }

    async fn look_again(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        minted: &Minted,
        mark: &Mark,
    ) -> Result<Again, Refusal> {
        let namespace = credential.namespace().unwrap_or_default();
        let secret = loop {
            if !self.time_left(mark) {
                return Err(Reason::ApiUnavailable.into());
            }
            match self.cluster.secret(&namespace, &plan.target.name, WRITE).await {
                Ok(secret) => break secret,
                Err(fault @ (Fault::Forbidden | Fault::Rejected)) => return Err(fault.reason().into()),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        match ownership::target(credential, plan, secret, &self.watch.index) {
            Target::Refused(refusal) | Target::Ours { blocked: Some(refusal), .. } => Err(refusal),
            Target::Absent => Ok(Again::Write(None)),
            Target::Ours { secret, found: Found::Whole(stored), .. } => {
                let same = stored.fingerprint == minted.fingerprint;
                Ok(match write_guard::after_look(same, stored.issued_at, minted.issued_at, clock::now()) {
                    write_guard::Again::Written => Again::Ours(secret),
                    write_guard::Again::Newer => Again::Newer,
                    write_guard::Again::Write => Again::Write(Some(secret)),
                })
            }
            Target::Ours { secret, .. } => Ok(Again::Write(Some(secret))),
        }
    }

    fn time_left(&self, mark: &Mark) -> bool {
        write_guard::time_left(mark.elapsed(), self.write_deadline)
    }

    fn moment(&self, mark: &Mark) -> Moment {
        Moment {
            now: clock::now(),
            since_sent: mark.elapsed(),
            deadline: self.write_deadline,
            may_write: self.leadership.may_write(),
        }
    }

    /// Writes our part of the Secret again from the token in it.
    pub async fn repair(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        stored: &Minted,
        current: &Secret,
    ) -> Result<Secret, WriteError> {
        let namespace = credential.namespace().unwrap_or_default();
        match self.cluster.credential(&namespace, &credential.name_any()).await? {
            Some(live)
                if live.uid() == credential.uid() && live.metadata.generation == credential.metadata.generation => {}
            _ => return Err(WriteError::NotAllowed),
        }
        self.write(credential, plan, stored, Some(current), &Mark::now()).await
    }

    /// Asks the API server whether it would take a write, without a token in it.
    pub async fn rehearse(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        target: Option<&Secret>,
    ) -> Result<(), Fault> {
        let now = clock::now_seconds();
        let rehearsal = Minted {
            token: "rehearsal".to_owned().into(),
            issued_at: now,
            expiry: Expiry::Never,
            source_version: String::new(),
            fingerprint: Fingerprint { spec: String::new(), source: String::new() },
            renew_request: None,
        };
        let rendering = render(credential, plan, &rehearsal);
        let namespace = credential.namespace().unwrap_or_default();
        let outcome = match target {
            None => {
                let secret = rendering.to_new_secret(credential, &plan.target.name);
                self.cluster.create_secret(&secret, true).await
            }
            Some(current) => match rendering.to_patch(current) {
                None => return Ok(()),
                Some(patch) => self.cluster.patch_secret(&namespace, &plan.target.name, &patch, true).await,
            },
        };
        match outcome {
            Ok(_) | Err(Fault::Conflict | Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

/// Whether a Secret holds this token and all that belongs to it.
fn holds(secret: &Secret, plan: &Plan, minted: &Minted) -> bool {
    let Found::Whole(stored) = render::read(secret, plan) else { return false };
    stored.token.expose_secret() == minted.token.expose_secret()
        && stored.fingerprint == minted.fingerprint
        && (stored.issued_at, stored.expiry) == (minted.issued_at, minted.expiry)
}

/// Why a write did not happen.
#[derive(Clone, Copy, Debug)]
pub enum WriteError {
    /// Half a lease has passed since the request was sent.
    TooLate,
    /// The token has expired.
    Expired,
    /// The lease may not be ours, or the credential changed.
    NotAllowed,
    /// The API server.
    Api(Fault),
}

impl From<Halt> for WriteError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::TooLate => Self::TooLate,
            Halt::NotLeader => Self::NotAllowed,
            Halt::Expired => Self::Expired,
        }
    }
}

impl From<Fault> for WriteError {
    fn from(fault: Fault) -> Self {
        Self::Api(fault)
    }
}

enum Again {
    Write(Option<Box<Secret>>),
    Ours(Box<Secret>),
    Newer,
}
