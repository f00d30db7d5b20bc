//! What this process keeps from others on its machine: its memory holds secrets.
//!
//! Freed memory is zeroed by the allocator in `main.rs`; here the kernel is told to write no core dump and to let no
//! process of the same user read our memory or attach a debugger. The latter is asked of Linux only, where the operator
//! runs; a build for another system asks nothing of the kind, and its log says that the process was not closed.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Seals the process. A kernel that refuses is no reason not to start: it is told of in the log.
pub fn harden_process() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() {
        tracing::warn!("core dumps could not be turned off");
    }
    if !close_to_debuggers() {
        tracing::warn!("this process could not be closed to debuggers");
    }
}

/// Whether it is closed now.
#[cfg(target_os = "linux")]
fn close_to_debuggers() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

/// Nothing is closed here.
#[cfg(not(target_os = "linux"))]
fn close_to_debuggers() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_sealed_process_dumps_no_core_and_is_closed_to_debuggers() {
        harden_process();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }
}
