//! The permissions that a mode does not have, and the tests that do not run in it.

use crate::support::mode::Mode;

/// Permissions that a mode does not have although the operator uses them: the mode, the verb, the resource, and why
/// that is
pub const WITHOUT: [(Mode, &str, &str, &str); 1] =
    [(Mode::Pinned, "watch", "secrets", "no watch in this mode: it logs this once and reads at each resync instead")];

/// A verb that is granted and that the suite does not use, and why.
pub const UNUSED: (&str, &str) = ("list", "the suite's API server streams its lists; that of privileges:: does not");

/// Tests in which the API server has to reject a request of the operator's account, and why.
pub const PROVOKED: [(&str, &str); 6] = [
    (
        "webhooks::a_webhook_that_denies_fails_or_is_absent_is_named_without_its_text_and_costs_one_exchange",
        "an admission webhook that denies is reported in the same way",
    ),
    (
        "deletion::a_namespace_deleted_while_the_operator_runs_costs_no_exchange_and_no_error",
        "a namespace that is being deleted rejects a CREATE in the same way, also in a dry run",
    ),
    (
        "write_rejected::a_quota_costs_one_exchange_until_it_is_lifted_and_none_if_the_secret_was_there_before",
        "an exhausted quota rejects in the same way",
    ),
    (
        "support_works::the_user_operator_has_the_operators_permissions_and_no_more",
        "the test itself requests what the operator may not have",
    ),
    (
        "outage::after_an_outage_longer_than_the_lease_only_what_became_due_is_exchanged",
        "an API server that has just started knows no roles yet",
    ),
    (
        "support_works::a_dedicated_api_server_can_be_stopped_and_started_again",
        "an API server that has just started knows no roles yet",
    ),
];

/// Tests that do not depend on the mode of the run.
const OF_NO_MODE: [(&str, &str); 7] = [
    ("install::", "they install deploy/install.yaml, the mode cluster"),
    ("renderings::", "they apply the renderings of all modes, without an operator"),
    ("privileges::", "they install each mode themselves"),
    ("loose_schema::", "their operator may do everything, on a control plane with another CRD"),
    ("guard_rails::", "they are about the permissions of users, without an operator"),
    ("crd_rules::", "they are about the CRD, without an operator"),
    ("mock_provider_works::", "they are about the mock provider, without an operator"),
];

/// The tests that a mode cannot support, by the prefix of their names, with the reason.
pub fn left_out(mode: Mode) -> Vec<(&'static str, &'static str)> {
    match mode {
        Mode::Cluster | Mode::Pinned => Vec::new(),
        Mode::Namespaced => OF_NO_MODE.to_vec(),
    }
}

/// The tests that a mode supports, by the prefix of their names; empty for all that are not left out.
///
/// In `pinned` each ApiCredential merges into a Secret that the support code creates and names in the Role.
pub fn taken(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Cluster | Mode::Namespaced => &[],
        Mode::Pinned => &PINNED,
    }
}

/// Why the tests that a mode does not run are left out.
pub const NOT_TAKEN: &str = "the others are about Secrets that the operator creates, count its reads, wait for what only a \
    watch of Secrets delivers, or have an account of their own";

const PINNED: [&str; 19] = [
    "allow_list::",
    "backoff::",
    "container::",
    "corporate::",
    "first_token::both_status_codes",
    "gitops::a_merge_target",
    "logs::",
    "manual::a_renew_request_",
    "manual::a_throttled_",
    "manual::a_waiting_",
    "merge::",
    "metrics::other_causes",
    "metrics::an_idle_leader",
    "unusual_responses::",
    "old_tokens::a_token_from",
    "old_tokens::a_token_at",
    "renewal::a_",
    "restart::a_lost_status",
    "source::a_basic_auth",
];
