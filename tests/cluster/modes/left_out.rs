//! What a mode does without, and which tests cannot be about it.

use crate::support::mode::Mode;

/// Rights that a mode does not have although the operator asks: the mode, the verb, the resource, and why that is well.
pub const WITHOUT: [(Mode, &str, &str, &str); 1] =
    [(Mode::Pinned, "list", "secrets", "no list in this mode: it says so once and looks again instead")];

/// Tests in which the API server has to refuse something to the operator's account, and why.
pub const PROVOKED: [(&str, &str); 0] = [];

/// Tests with an installation or a cluster-wide right of their own, to which the mode of the run is nothing.
const OF_NO_MODE: [(&str, &str); 0] = [];

/// The tests that a mode cannot support, by the beginning of their names, with the reason.
pub fn left_out(mode: Mode) -> Vec<(&'static str, &'static str)> {
    let more: &[(&str, &str)] = match mode {
        Mode::Cluster => &[],
        Mode::Namespaced => &OF_NO_MODE,
        Mode::Pinned => &[],
    };
    more.to_vec()
}

/// The modules of which a mode supports something; none for the whole suite.
pub fn taken(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Cluster | Mode::Namespaced => &[],
        Mode::Pinned => &["merge::"],
    }
}
