//! What a mode does without, and which tests cannot be about it.

use crate::support::mode::Mode;

/// Rights that a mode does not have although the operator asks: the mode, the verb, the resource, and why that is well.
pub const WITHOUT: [(Mode, &str, &str, &str); 1] =
    [(Mode::Pinned, "list", "secrets", "no list in this mode: it says so once and looks again instead")];

/// Tests in which the API server has to refuse something to the operator's account, and why.
pub const PROVOKED: [(&str, &str); 5] = [
    (
        "deletion::a_namespace_that_is_deleted_under_the_operator_costs_no_exchange_and_no_complaint",
        "a namespace that is being deleted answers a CREATE so, the rehearsed one, too",
    ),
    (
        "write_rejected::a_quota_costs_one_exchange_until_it_is_lifted_and_none_if_the_secret_was_there_before",
        "a quota that is used up answers so, too",
    ),
    (
        "support_works::the_user_operator_has_the_operators_rights_and_no_more",
        "the test itself asks for what the operator may not have",
    ),
    (
        "outage::after_an_outage_longer_than_the_lease_only_what_became_due_is_exchanged",
        "an API server that has just started knows no roles yet",
    ),
    (
        "support_works::an_api_server_of_ones_own_can_be_away_and_come_back",
        "an API server that has just started knows no roles yet",
    ),
];

/// Tests to which the mode of the run is nothing.
const OF_NO_MODE: [(&str, &str); 7] = [
    ("install::", "they install deploy/install.yaml, the mode cluster"),
    ("renderings::", "they apply the renderings of all modes, without an operator"),
    ("privileges::", "they install each mode themselves"),
    ("loose_schema::", "their operator may do everything, on a control plane with another definition"),
    ("guard_rails::", "they are about the rights of people, without an operator"),
    ("crd_rules::", "they are about the definition, without an operator"),
    ("mock_provider_works::", "they are about the mock provider, without an operator"),
];

/// The tests that a mode cannot support, by the beginning of their names, with the reason.
pub fn left_out(mode: Mode) -> Vec<(&'static str, &'static str)> {
    match mode {
        Mode::Cluster | Mode::Pinned => Vec::new(),
        Mode::Namespaced => OF_NO_MODE.to_vec(),
    }
}

/// The tests that a mode supports, by the beginning of their names; none for all that are not left out.
///
/// In `pinned` each credential merges into a Secret that the support code makes and names in the Role.
pub fn taken(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Cluster | Mode::Namespaced => &[],
        Mode::Pinned => &PINNED,
    }
}

/// Why the tests that a mode does not take are left out.
pub const NOT_TAKEN: &str = "the others are about Secrets that the operator creates, count its reads, wait for what only a \
    watch of Secrets tells, or have an account of their own";

const PINNED: [&str; 17] = [
    "allow_list::",
    "backoff::",
    "container::",
    "corporate::",
    "first_token::both_status_codes",
    "gitops::a_merge_target",
    "logs::",
    "manual::a_request_",
    "merge::",
    "metrics::other_causes",
    "metrics::the_loop",
    "odd_answers::",
    "old_tokens::a_token_from",
    "old_tokens::a_token_of",
    "renewal::a_",
    "restart::a_lost_status",
    "source::a_basic_auth",
];
