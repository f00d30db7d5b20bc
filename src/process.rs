//! What this process keeps from others on its machine: its memory holds secrets.
//!
//! Freed memory is zeroed by the allocator in `main.rs`; here the kernel is told to write no core dump and to let no
//! process of the same user read our memory or attach a debugger.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Seals the process. A kernel that refuses is no reason not to start: it is told of in the log.
pub fn seal() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() {
        tracing::warn!("core dumps could not be turned off");
    }
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        tracing::warn!("this process could not be closed to debuggers");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_sealed_process_dumps_no_core_and_is_closed_to_debuggers() {
        seal();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }
}
