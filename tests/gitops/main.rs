//! What GitOps tools see: the status by the rules of kstatus (Flux), and by the scripts for Argo CD.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a state that cannot be made fails the test, with its reason"
)]

mod argocd;
mod config_map;
mod kstatus;
mod pages;
mod states;
