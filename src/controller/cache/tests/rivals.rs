//! Who may have a target, and who exists.

use super::*;

#[test]
fn the_oldest_comes_first_and_of_one_age_the_smaller_uid_and_its_rivals_learn_that_it_goes() {
    let cache = Cache::default();
    let (first, second, third) =
        (credential("c", "u2", EARLY, "t"), credential("a", "u3", EARLY, "t"), credential("b", "u1", LATE, "t"));
    for credential in [&third, &second, &first] {
        watched(&cache, credential);
    }
    assert!(cache.is_oldest_for_target(&first));
    assert!(!cache.is_oldest_for_target(&second));
    assert!(!cache.is_oldest_for_target(&third));
    for name in ["a", "b"] {
        reconcile(&cache, name, true, || {});
    }
    let mut going = first;
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    assert_eq!(watched(&cache, &going), enqueued(&["a", "b", "c"]));
    assert!(is_dirty(&cache, "a") && is_dirty(&cache, "b"));
    assert!(cache.is_oldest_for_target(&second), "one that is being deleted does not count");
    assert_eq!(cache.remove(&key("a")).deleted.as_deref(), Some("u3"));
    assert!(cache.is_oldest_for_target(&third));
    assert!(cache.is_oldest_for_target(&credential("x", "u9", LATE, "another")));
}

#[test]
fn one_at_a_time_holds_a_target() {
    let cache = Cache::default();
    assert!(cache.claim(&key("t"), "u1"));
    assert!(cache.claim(&key("t"), "u1"), "its own claim");
    assert!(!cache.claim(&key("t"), "u2"));
    assert!(cache.claim(&key("other"), "u2"));
    cache.release(&key("t"));
    assert!(cache.claim(&key("t"), "u2"));
}

#[test]
fn who_exists_is_known_by_namespace_name_and_uid() {
    let cache = Cache::default();
    watched(&cache, &credential("a", "u1", EARLY, "t"));
    assert!(cache.uid_exists("care", "a", "u1") && cache.name_exists("care", "a"));
    assert!(!cache.uid_exists("other", "a", "u1") && !cache.uid_exists("care", "b", "u1"));
    assert!(!cache.name_exists("other", "a") && !cache.uid_exists("care", "a", "u2"));
    let replaced = watched(&cache, &at_version(&credential("a", "u2", LATE, "t"), "30"));
    assert_eq!(replaced.deleted.as_deref(), Some("u1"), "deleted and created again while no watch ran");
}
