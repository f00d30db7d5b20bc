//! What the tests stand on. The programs `control-plane` and `provider` use parts of it.

pub mod account;
pub mod audit;
pub mod certificates;
pub mod control_plane;
pub mod endpoints;
pub mod gate;
pub mod leaks;
pub mod mode;
pub mod old_tokens;
pub mod operator;
pub mod plugin;
pub mod process;
pub mod provider;
pub mod proxy;
pub mod random;
pub mod space;
pub mod undertaker;
