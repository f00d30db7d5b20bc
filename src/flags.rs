//! Flags that the subcommands `run` and `exchange` share.

mod duration;
mod provider;

pub use duration::{DurationError, parse_duration};
pub use provider::{ProviderArgs, ProviderArgsError};
