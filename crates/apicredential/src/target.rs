//! The target Secret: whether it is ours ([`ownership`]), what is written into it ([`render`], [`fingerprint`]) and
//! what must hold before a write ([`write_guard`]).

mod consent;
pub mod fingerprint;
pub mod ownership;
pub mod render;
pub mod write_guard;
