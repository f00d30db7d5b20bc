//! One run: prepare, arm, act, wait until it has converged, check that nothing is written then, check the history.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::{History, What};
use crate::quiet;
use crate::scenarios::Scenario;
use crate::stage::Stage;
use crate::support::fault_proxy::{Act, Fault, Site};
use crate::support::provider::{Disturbance, Point, Reply};
use crate::support::space::poll;

/// From the end of the faults to the expected state: the lease, the longest delay of a transient failure
/// (60 × 250 ms), a watch that was held for 15 s, and room for a busy machine.
const CONVERGES_WITHIN: Duration = Duration::from_secs(120);
/// How long the run waits for a fault to occur.
const FIRES_WITHIN: Duration = Duration::from_secs(6);

/// The faults of a run, and its scenario.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Plan {
    pub scenario: Scenario,
    pub troubles: Vec<Trouble>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Trouble {
    /// At a request to the API server.
    Api(Fault),
    /// At the first exchange.
    Provider(ExchangePoint, Act),
    /// At the first check of a token.
    Check(ExchangePoint, Act),
}

/// A [`Point`] of an exchange, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExchangePoint {
    Arrived,
    Issued,
    Halfway,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The faults occurred; otherwise the run had no such request.
    pub fired: bool,
    /// The violations. If it is empty, the run passed.
    pub violations: Vec<String>,
    /// CREATEs that the network delayed and that took effect after a newer token.
    pub late_creates: usize,
    /// Requests to the API server, and exchanges.
    pub calls: usize,
    pub exchanges: usize,
}

/// A run without violations so far, and its requests since it was armed.
pub struct Run {
    pub history: History,
    pub sites: Vec<Site>,
    pub fired: bool,
    pub leaks: Vec<String>,
}

impl Plan {
    /// A plan without faults.
    pub fn calm(scenario: Scenario) -> Self {
        Self { scenario, troubles: Vec::new() }
    }

    /// Runs it. Panics with a report if it does not converge.
    pub async fn run(&self) -> Run {
        let stage = Stage::new(self.scenario.provider(), self.scenario.replicas(), self.scenario.pause()).await;
        self.scenario.prepare(&stage).await;
        self.arm(&stage);
        stage.supervise();
        self.scenario.act(&stage).await;
        let fired = self.wait_for_the_faults(&stage).await;
        stage.note(What::Calm);
        let writes = self.wait_until_all_is_well(&stage).await;
        stage.note(What::Converged);
        let surplus = quiet::surplus(&stage.log, writes).await;
        assert!(surplus.is_empty(), "something was written although all is well: {}", quiet::named(&surplus));
        self.scenario.assert_checks(&stage);
        self.scenario.clear_away(&stage).await;
        let (sites, leaks) = (stage.log.sites(), stage.leaks().await);
        Run { history: stage.end().await, sites, fired, leaks }
    }

    fn arm(&self, stage: &Stage) {
        let mut faults = Vec::new();
        let mut reply = self.scenario.reply();
        for trouble in &self.troubles {
            match trouble {
                Trouble::Api(fault) => faults.push(fault.clone()),
                Trouble::Provider(place, act) => {
                    stage.note(What::Fault { name: format!("the provider: {place:?} {act:?}") });
                    reply = reply.disturbed(place.point(), disturbance(*act, stage));
                }
                Trouble::Check(place, act) => {
                    stage.note(What::Fault { name: format!("a check: {place:?} {act:?}") });
                    let once = once(disturbance(*act, stage));
                    stage.client.answer_checks(Reply::token().disturbed(place.point(), once));
                }
            }
        }
        if self.scenario != Scenario::FirstSync {
            stage.client.next(reply);
        } else if self.troubles.iter().any(|trouble| matches!(trouble, Trouble::Provider(..))) {
            stage.client.clear_queue().next(reply);
        }
        stage.log.arm(faults);
    }

    /// Whether all of them occurred.
    async fn wait_for_the_faults(&self, stage: &Stage) -> bool {
        let planned = self.troubles.iter().filter(|trouble| matches!(trouble, Trouble::Api(_))).count();
        // A renewal comes in its own time.
        let within = FIRES_WITHIN + if self.scenario == Scenario::Renewal { FIRES_WITHIN } else { Duration::ZERO };
        poll(within, async || (stage.log.fired().len() >= planned).then_some(())).await.is_some()
    }

    /// The number of writes until the run has converged and the operator has nothing more to write.
    async fn wait_until_all_is_well(&self, stage: &Stage) -> usize {
        let mut missing = None;
        let well = poll(CONVERGES_WITHIN, async || {
            missing = self.scenario.unfinished(stage).await;
            if missing.is_some() {
                return None;
            }
            missing = Some("the operator has nothing more to write".to_owned());
            let writes = quiet::settle(&stage.log, async || stage.all_answer().await).await;
            missing = self.scenario.unfinished(stage).await;
            missing.is_none().then_some(writes)
        });
        let Some(writes) = well.await else {
            let missing = missing.unwrap_or_default();
            panic!("not within {CONVERGES_WITHIN:?}: {missing}\n{}", stage.space.report().await)
        };
        writes
    }
}

impl ExchangePoint {
    fn point(self) -> Point {
        match self {
            Self::Arrived => Point::Arrived,
            Self::Issued => Point::Issued,
            Self::Halfway => Point::Halfway,
        }
    }
}

/// The next check is not disturbed.
fn once(disturbance: Disturbance) -> Disturbance {
    match disturbance {
        Disturbance::Action(action) => {
            let first = std::sync::Once::new();
            Disturbance::Action(Arc::new(move || first.call_once(|| action())))
        }
        other => other,
    }
}

fn disturbance(act: Act, stage: &Stage) -> Disturbance {
    match act {
        Act::Reset => Disturbance::Reset,
        Act::Hold => Disturbance::Silence,
        Act::CutWatches => {
            let log = stage.log.clone();
            Disturbance::Action(Arc::new(move || log.cut_watches()))
        }
        act => {
            let control = stage.control();
            Disturbance::Action(Arc::new(move || control(0, act)))
        }
    }
}
