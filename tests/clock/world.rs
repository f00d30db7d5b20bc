//! The environment of one operator: its clocks, a provider with the same clock, and ApiCredentials with tokens of an
//! hour.

use std::path::PathBuf;
use std::sync::Mutex;

use apicredential::api::ApiCredentialStatus;
use apicredential_operator::clock;
use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use serde_json::json;

use crate::fixture::Scene;
use crate::support::audit::{Audit, Call};
use crate::support::operator::Settings;
use crate::support::provider::Client;
use crate::support::space::{self, condition};
use crate::support::{random, reaper};

/// The lifetime of every token here, in seconds.
pub const HOUR: i64 = 3600;
pub const MINUTE: i64 = 60;

/// The clocks of one operator, ahead of the machine's by this many seconds: the wall clock, and that of the boot.
pub struct Clocks {
    file: PathBuf,
    ahead: Mutex<(i64, i64)>,
}

impl Clocks {
    /// Those of the machine.
    pub fn new() -> Self {
        let file = reaper::directory().join(format!("clock-{}", random::suffix()));
        Self { file, ahead: Mutex::default() }
    }

    /// An operator that uses them.
    pub fn of(&self, settings: Settings) -> Settings {
        settings.variable("SIMULATED_CLOCK", &self.file)
    }

    /// Sets the wall clock forward or back.
    pub fn step(&self, seconds: i64) {
        self.add(seconds, 0);
    }

    /// As if the machine had been suspended: both have advanced, and no timer has.
    pub fn sleep(&self, seconds: i64) {
        self.add(seconds, seconds);
    }

    /// How far the wall clock is ahead.
    pub fn ahead(&self) -> SignedDuration {
        SignedDuration::from_secs(self.ahead.lock().unwrap().0)
    }

    /// The time of the wall clock.
    pub fn now(&self) -> Timestamp {
        clock::now() + self.ahead()
    }

    fn add(&self, wall: i64, boot: i64) {
        let mut ahead = self.ahead.lock().unwrap();
        *ahead = (ahead.0 + wall, ahead.1 + boot);
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{} {}", ahead.0 * 1000, ahead.1 * 1000)).expect("the file can be written");
        std::fs::rename(&new, &self.file).expect("the file can be replaced");
    }
}

/// How time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The wall clocks of the operator and the provider are set, and no time passes at all.
    Step,
    /// The machine is suspended.
    Sleep,
}

/// A namespace, a provider, and the clocks of both.
pub struct World {
    pub scene: Scene,
    pub clocks: Clocks,
}

/// An ApiCredential, and its client.
pub struct Known {
    pub name: String,
    pub client: Client,
}

impl World {
    pub async fn new() -> Self {
        Self { scene: Scene::new().await, clocks: Clocks::new() }
    }

    /// An operator without election, so that only its resync detects a step. A rejected object is reconciled again
    /// every 1.2 s, which is what [`World::resyncs`] counts.
    pub fn operator(&self) -> Settings {
        let settings = self.clocks.of(self.scene.operator()).flag("--leader-election", "false");
        settings.flag("--resync", "1s").flag("--retry-base", "100ms")
    }

    /// The same with a lease, the shortest that is allowed with that timeout: a step of more than two thirds of it ends
    /// the term.
    pub fn elected_operator(&self) -> Settings {
        let settings = self.operator().flag("--leader-election", "true");
        settings.flag("--provider-timeout", "2s").flag("--lease-duration", "24s")
    }

    /// Steps the wall clock of the operator, and the provider's with it.
    pub fn step(&self, seconds: i64) {
        self.clocks.step(seconds);
        self.scene.mock_provider.set_clock(self.clocks.ahead());
    }

    /// Suspends the machine; the provider's time goes on.
    pub fn sleep(&self, seconds: i64) {
        self.clocks.sleep(seconds);
        self.scene.mock_provider.set_clock(self.clocks.ahead());
    }

    pub fn pass(&self, way: Way, seconds: i64) {
        match way {
            Way::Step => self.step(seconds),
            Way::Sleep => self.sleep(seconds),
        }
    }

    /// This many ApiCredentials, each with a token of an hour.
    pub async fn ready(&self, count: usize) -> Vec<Known> {
        self.ready_for(count, HOUR).await
    }

    /// The same, with tokens that are valid for this many seconds.
    pub async fn ready_for(&self, count: usize, lifetime: i64) -> Vec<Known> {
        let mut all = Vec::new();
        for number in 0..count {
            let name = format!("a{number:02}");
            let client = self.scene.welkin_client(&name).await;
            client.lifetime(lifetime as f64);
            self.scene.apply_welkin(&name, &client).await;
            all.push(Known { name, client });
        }
        self.all_are(&all, "ready, with one request", |_, status| status.revision == Some(1)).await;
        all
    }

    /// Waits until each ApiCredential is Ready without a failure, and fits.
    pub async fn all_are(&self, all: &[Known], what: &str, fits: impl Fn(&Known, &ApiCredentialStatus) -> bool) {
        self.scene
            .space
            .wait_for(what, async || {
                let list = self.scene.space.credentials.list(&ListParams::default()).await.ok()?;
                let fits = |known: &&Known| {
                    let found = list.iter().find(|it| it.metadata.name.as_ref() == Some(&known.name));
                    found.is_some_and(|it| {
                        condition(it, "Ready").as_deref() == Some("True/TokenValid")
                            && it.status.as_ref().is_some_and(|status| fits(known, status))
                    })
                };
                (all.iter().filter(fits).count() == all.len()).then_some(())
            })
            .await;
    }

    /// Waits for this many resyncs: after each, the operator has reconciled every ApiCredential at least once. Counted
    /// at one without a source, which is reconciled for ever and a little less often than the resync.
    pub async fn resyncs(&self, times: usize) {
        if self.scene.space.credentials.get_opt("resync").await.unwrap().is_none() {
            let client = self.scene.mock_provider.welkin(&self.scene.space.unique("resync"));
            self.scene.apply_welkin("resync", &client).await;
            self.scene.space.wait_condition("resync", "Ready", "False/SourceSecretNotFound").await;
        }
        self.scene.space.wait_reads("resync-token", times).await;
    }

    /// The operator's requests to the API server, without lists and watches.
    pub async fn audit(&self) -> Audit {
        let audit = self.scene.space.audit().await.by("operator").without("leases");
        audit.only(|call| !matches!(call.verb.as_str(), "list" | "watch"))
    }

    pub async fn status(&self, name: &str) -> ApiCredentialStatus {
        *self.scene.space.credential(name).await.status.expect("it has a status")
    }
}

/// Whether this is a part of the reconcile that [`World::resyncs`] counts.
pub fn is_resync(call: &Call) -> bool {
    call.name.starts_with("resync")
}

/// The number of requests of each.
pub fn counts(all: &[Known]) -> Vec<usize> {
    all.iter().map(|known| known.client.count()).collect()
}

/// Fails if more requests came in some window than the burst and the rate allow.
pub fn assert_rate(mut times: Vec<Timestamp>, rate: f64, burst: f64) {
    times.sort();
    // The limit applies to sending. A connection that is slow to open delays an arrival by this much.
    let slack = SignedDuration::from_secs(1);
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            let window = (to.duration_since(*from) + slack).as_secs_f64();
            let count = u32::try_from(last - first + 1).unwrap();
            assert!(f64::from(count) <= burst + rate * window, "{count} requests in {window} s: {times:?}");
        }
    }
}
