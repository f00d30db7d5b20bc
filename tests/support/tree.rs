//! The support code of the tests. The programs `control-plane` and `provider` use parts of it.

pub mod account;
pub mod audit;
pub mod certificates;
pub mod control_plane;
pub mod endpoints;
pub mod fault_proxy;
pub mod leaks;
pub mod mode;
pub mod old_tokens;
pub mod operator;
pub mod plugin;
pub mod process;
pub mod provider;
pub mod proxy;
pub mod random;
pub mod reaper;
pub mod space;
