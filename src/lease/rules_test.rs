use super::*;

const LEASE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn candidate() -> Candidate {
    Candidate::new("me".to_owned(), LEASE)
}

fn held_by(holder: &str, version: &str) -> Lease {
    let mut lease = empty("lock");
    lease.metadata.resource_version = Some(version.to_owned());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(60),
        renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
        lease_transitions: Some(3),
        ..LeaseSpec::default()
    });
    lease
}

#[test]
fn a_missing_lease_is_created() {
    assert_eq!(candidate().next_step(None, at(0), at(0)), Step::Create);
}

#[test]
fn a_lease_without_a_holder_is_taken_at_once() {
    assert_eq!(candidate().next_step(Some(&held_by("", "1")), at(0), at(0)), Step::Take);
    assert_eq!(candidate().next_step(Some(&empty("lock")), at(0), at(0)), Step::Take);
}

#[test]
fn a_holder_renews_its_lease() {
    assert_eq!(candidate().next_step(Some(&held_by("me", "1")), at(0), at(0)), Step::Renew);
}

#[test]
fn a_candidate_waits_until_the_lease_was_unchanged_for_its_whole_duration() {
    let (mut me, lease) = (candidate(), held_by("other", "1"));
    assert_eq!(me.next_step(Some(&lease), at(100), at(100)), Step::Wait(LEASE));
    assert_eq!(me.next_step(Some(&lease), at(159), at(159)), Step::Wait(at(1)));
    assert_eq!(me.next_step(Some(&lease), at(160), at(160)), Step::Take);
}

#[test]
fn a_renewal_restarts_the_wait() {
    let mut me = candidate();
    me.next_step(Some(&held_by("other", "1")), at(0), at(0));
    assert_eq!(me.next_step(Some(&held_by("other", "2")), at(59), at(59)), Step::Wait(LEASE));
    assert_eq!(me.next_step(Some(&held_by("other", "2")), at(70), at(70)), Step::Wait(at(49)));
}

#[test]
fn time_on_the_network_never_counts_against_the_holder() {
    let (mut me, lease) = (candidate(), held_by("other", "1"));
    me.next_step(Some(&lease), at(0), at(9));
    assert_eq!(me.next_step(Some(&lease), at(61), at(70)), Step::Wait(at(8)));
}

#[test]
fn the_clock_of_the_holder_does_not_matter() {
    for renewed in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let (mut me, mut lease) = (candidate(), held_by("other", "1"));
        lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(renewed));
        assert_eq!(me.next_step(Some(&lease), at(0), at(0)), Step::Wait(LEASE));
        assert_eq!(me.next_step(Some(&lease), at(60), at(60)), Step::Take);
    }
}

#[test]
fn the_longer_of_both_durations_counts_but_at_most_an_hour() {
    for (stated, wait) in [(5, 60), (90, 90), (-7, 60), (i32::MAX, 3600)] {
        let mut lease = held_by("other", "1");
        lease.spec.as_mut().unwrap().lease_duration_seconds = Some(stated);
        assert_eq!(candidate().next_step(Some(&lease), at(0), at(0)), Step::Wait(at(wait)), "{stated}");
    }
}

#[test]
fn a_recreated_lease_is_not_taken_for_the_old_one() {
    let (mut me, mut lease) = (candidate(), held_by("other", "1"));
    me.next_step(Some(&lease), at(0), at(0));
    lease.metadata.uid = Some("second".to_owned());
    assert_eq!(me.next_step(Some(&lease), at(60), at(60)), Step::Wait(LEASE));
}

#[test]
fn a_claim_counts_the_transition_and_keeps_the_resource_version_and_foreign_labels() {
    let mut read = held_by("other", "7");
    read.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    let claim = candidate().claim(Some(read), "lock", Timestamp::UNIX_EPOCH);
    assert_eq!(claim.metadata.resource_version.as_deref(), Some("7"));
    assert_eq!(claim.metadata.labels.as_ref().map(|labels| labels.len()), Some(1));
    let spec = claim.spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("me"));
    assert_eq!(spec.lease_transitions, Some(4));
    assert_eq!(spec.lease_duration_seconds, Some(60));
    assert_eq!(spec.acquire_time, spec.renew_time);
}

#[test]
fn a_renewal_moves_only_the_renew_time() {
    let me = candidate();
    let first = me.claim(None, "lock", Timestamp::UNIX_EPOCH);
    let later = me.claim(Some(first.clone()), "lock", Timestamp::from_second(10).unwrap());
    let (first, later) = (first.spec.unwrap(), later.spec.unwrap());
    assert_eq!(later.renew_time, Some(MicroTime(Timestamp::from_second(10).unwrap())));
    assert_eq!(first.lease_transitions, Some(0));
    assert_eq!(LeaseSpec { renew_time: None, ..later }, LeaseSpec { renew_time: None, ..first });
}

#[test]
fn only_the_holder_releases_the_lease() {
    let me = candidate();
    assert_eq!(me.release(held_by("other", "1"), Timestamp::UNIX_EPOCH), None);
    let released = me.release(held_by("me", "9"), Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(holder(&released), None);
    assert_eq!(released.metadata.resource_version.as_deref(), Some("9"));
    assert_eq!(candidate().next_step(Some(&released), at(0), at(0)), Step::Take);
}

#[test]
fn a_holder_may_start_for_two_thirds_of_its_lease_and_write_until_10_seconds_before_its_end() {
    assert!(may_start(at(39), LEASE) && !may_start(at(40), LEASE));
    assert!(may_write(at(50), LEASE) && !may_write(at(51), LEASE));
    let short = at(22);
    assert!(may_start(at(12), short) && !may_start(at(13), short), "without time for a write, no work may start");
}

#[test]
fn every_write_ends_5_seconds_before_the_lease_does() {
    for (age, left) in [(0, 55), (40, 15), (54, 1), (55, 0), (70, 0)] {
        assert_eq!(write_time(at(age), LEASE), at(left), "{age}");
    }
}

#[test]
fn a_candidate_takes_over_only_after_the_old_holder_may_no_longer_write() {
    for seconds in [16, 20, 50, 60, 61, 90, 600, 3600] {
        let lease = at(seconds);
        let mut me = Candidate::new("me".to_owned(), lease);
        let record = held_by("other", "1");
        me.next_step(Some(&record), at(0), at(0));
        let taken = (0..=3600).find(|&second| me.next_step(Some(&record), at(second), at(second)) == Step::Take);
        assert!(taken.is_some_and(|second| write_time(at(second - 5), lease).is_zero()), "{seconds}");
    }
}
