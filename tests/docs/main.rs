//! The documentation is correct: its commands run, its manifests apply, its links lead somewhere.
//!
//! What a page needs is in HTML comments, which readers do not see:
//!
//! - `<!-- given: NAME … -->` anywhere: the state before the first block, set up by one of the scripts in `given/`;
//!   `empty-cluster` is a control plane of the page's own, on which nothing is installed;
//! - `<!-- keeps: SECRET KEY -->`: that key of that Secret is never absent or empty while the page runs;
//! - `<!-- needs: WHAT -->` before a block: it is not run, because it needs what this machine may not have. Its
//!   manifests, or those that it or Helm would apply, are applied with `--dry-run=server`, those of Argo CD and Flux too
//!   (`crds/`), and the block is in the list that the test prints.
//!
//! A YAML block that begins with `# NAME.yaml` is a file of that name for the blocks that follow. A `text` block after
//! a shell block is what it prints, where words with digits stand for any such words.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod contributing;
mod kept;
mod links;
mod page;
mod run;
mod session;
mod summary;
#[path = "../support/tree.rs"]
mod support;
