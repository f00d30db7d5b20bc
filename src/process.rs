//! Protects the memory of this process, which contains secrets, from other processes on the machine.
//!
//! The allocator in `main.rs` zeroes freed memory. This module makes the kernel write no core dumps and keep processes of
//! the same user from reading the memory or attaching a debugger. The second protection exists on Linux only; on other
//! systems the log warns that it is missing.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Turns off core dumps and debuggers. If the kernel refuses, a warning is logged and the process goes on.
pub fn harden_process() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() {
        tracing::warn!("core dumps could not be disabled; a core file of this process would contain secrets");
    }
    if !disable_debuggers() {
        tracing::warn!(
            "debuggers could not be disabled; a process of the same user can read the memory of this process"
        );
    }
}

/// Returns whether debuggers are disabled.
#[cfg(target_os = "linux")]
fn disable_debuggers() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

/// Not supported on this system.
#[cfg(not(target_os = "linux"))]
fn disable_debuggers() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_hardened_process_writes_no_core_dump_and_allows_no_debugger() {
        harden_process();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }
}
