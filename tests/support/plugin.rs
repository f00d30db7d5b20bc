//! The kubectl plugin, a program of another package of the workspace. Cargo builds it when this test needs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of the program, beside the operator's.
///
/// # Panics
/// It cannot be built.
pub fn plugin() -> &'static Path {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        // Built with an example, which has the development dependencies, so that the features are those of the tests
        // and only the program is left to build.
        let build = ["build", "--locked", "--quiet", "--bin", "kubectl-apicredential", "--example", "control-plane"];
        let built = Command::new(env!("CARGO")).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.is_ok_and(|status| status.success()), "the kubectl plugin cannot be built");
        Path::new(env!("CARGO_BIN_EXE_apicredential-operator")).with_file_name("kubectl-apicredential")
    })
}
