#!/usr/bin/env bash
# Shows that the unit tests notice every change that cargo-mutants can think of in the code that decides, times and
# writes: an operator, a condition, a return value. What it covers, and what it leaves out and why, is in
# .cargo/mutants.toml.
#
# The work is done on a copy of the tree, built into target/mutants; the tool is installed once into a cache.
set -euo pipefail
exec </dev/null

version=27.1.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tool="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools/cargo-mutants-$version"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ ! -x "$tool/bin/cargo-mutants" ]; then
  echo "mutants: installing cargo-mutants $version (once, about two minutes)"
  cargo install --locked --quiet --root "$tool" --version "$version" cargo-mutants
fi
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf -) |
  tar -xmf - -C "$scratch"
echo "mutants: changing the code in every place, one at a time (minutes)"
cd "$scratch"
CARGO_TARGET_DIR="$root/target/mutants" RUST_BACKTRACE=0 PATH="$tool/bin:$PATH" \
  cargo mutants --workspace --in-place --colors never --output "$root/target/mutants"
