//! The target Secret: who owns it, what is written into it, and what must hold before a write.

pub mod fingerprint;
pub mod ownership;
pub mod render;
pub mod write_guard;
