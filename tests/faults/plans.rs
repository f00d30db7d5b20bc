//! The plans: every kind of fault at every request that a run without faults makes.

use std::collections::BTreeMap;

use crate::runs::{ExchangePoint, Plan, Run, Trouble};
use crate::scenarios::Scenario;
use crate::support::fault_proxy::{Act, Fault, Site, When};
use crate::support::random::Dice;

/// Periodic requests are alike: the lease's renewals after the first three are left out.
const MOST_OF_ONE_KIND: usize = 3;

/// Every single fault in a scenario whose run without faults had these sites.
pub fn single(scenario: Scenario, sites: &[Site]) -> Vec<Plan> {
    let plan = |trouble| Plan { scenario, troubles: vec![trouble] };
    let sites = sites.iter().filter(|site| site.nth <= MOST_OF_ONE_KIND && !is_of_the_start(scenario, site));
    let api = sites.flat_map(|site| {
        let kinds = Fault::kinds().into_iter().filter(|&(when, act)| is_sensible(site, when, act));
        kinds.map(|(when, act)| Trouble::Api(Fault { site: site.clone(), when, act }))
    });
    let checks = (scenario == Scenario::Revoked).then(at_a_check);
    api.chain(at_the_provider()).chain(checks.into_iter().flatten()).map(plan).collect()
}

/// Faults of the operator while it verifies. A failing response is left out, because a run could not wait for the
/// next check, which comes an interval later.
fn at_a_check() -> impl Iterator<Item = Trouble> {
    let acts = [Act::CutWatches, Act::Kill, Act::Terminate];
    [ExchangePoint::Arrived, ExchangePoint::Issued]
        .into_iter()
        .flat_map(move |place| acts.map(|act| Trouble::Check(place, act)))
}

fn at_the_provider() -> impl Iterator<Item = Trouble> {
    let acts = [Act::Reset, Act::Hold, Act::CutWatches, Act::Kill, Act::Terminate, Act::Pause];
    let places = [ExchangePoint::Arrived, ExchangePoint::Issued, ExchangePoint::Halfway];
    places.into_iter().flat_map(move |place| acts.map(|act| Trouble::Provider(place, act)))
}

/// The operator starts in this scenario, too, as it does in the first one, which has all of these plans.
fn is_of_the_start(scenario: Scenario, site: &Site) -> bool {
    scenario == Scenario::Revoked
        && (site.resource == "leases" || !matches!(site.verb.as_str(), "get" | "create" | "patch"))
}

/// A list or a watch has no effect, so that before and after differ only if the response does.
fn is_sensible(site: &Site, when: When, act: Act) -> bool {
    let answers = matches!(act, Act::Answer(_) | Act::WrongShape | Act::CutWatches | Act::Silence);
    let reads = matches!(site.verb.as_str(), "get" | "list" | "watch");
    // The client receives the same, and nothing was changed.
    !(reads && when == When::After && answers)
}

/// A sample of the plans with each kind of fault and each kind of request of each scenario as evenly as the size
/// allows; the same sample each time.
pub fn sample(plans: &[Plan], size: usize) -> Vec<Plan> {
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut rest: Vec<&Plan> = plans.iter().collect();
    let mut chosen = Vec::new();
    while chosen.len() < size && !rest.is_empty() {
        let cost =
            |plan: &&Plan| -> usize { marks(plan).iter().map(|mark| used.get(mark).copied().unwrap_or(0)).sum() };
        let (place, _) =
            rest.iter().enumerate().min_by_key(|(place, plan)| (cost(plan), *place)).expect("some are left");
        let plan = rest.remove(place);
        for mark in marks(plan) {
            *used.entry(mark).or_default() += 1;
        }
        chosen.push(plan.clone());
    }
    chosen
}

/// What a plan is an example of.
fn marks(plan: &Plan) -> Vec<String> {
    let mut marks = vec![format!("{:?}", plan.scenario)];
    for trouble in &plan.troubles {
        match trouble {
            Trouble::Api(Fault { site, when, act }) => {
                marks.push(format!("{when:?} {act:?}"));
                marks.push(format!("{} {}", site.verb, site.resource));
            }
            Trouble::Check(place, act) => marks.push(format!("check {place:?} {act:?}")),
            Trouble::Provider(place, act) => marks.push(format!("{place:?} {act:?}")),
        }
    }
    marks
}

/// Two faults of one scenario, chosen by a seed.
pub fn pair(plans: &[Plan], seed: u64) -> Plan {
    let mut dice = Dice::new(seed);
    let first = &plans[dice.below(plans.len())];
    let same: Vec<&Plan> = plans.iter().filter(|plan| plan.scenario == first.scenario).collect();
    let second = same[dice.below(same.len())];
    Plan { scenario: first.scenario, troubles: [first.troubles.clone(), second.troubles.clone()].concat() }
}
