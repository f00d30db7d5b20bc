//! The modules that a program needs to start the operator itself: the control plane and the mock provider.

pub mod certificates;
pub mod control_plane;
pub mod mode;
pub mod process;
pub mod provider;
pub mod random;
pub mod reaper;
