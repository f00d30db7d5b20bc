//! The structure of the sources: no module cycles, a pure library, short files, and the field's names.
//!
//! It reads the sources as text, so it needs nothing but the compiler.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a file that cannot be read or parsed fails the test, with its reason; the longest files are listed"
)]

use std::collections::BTreeSet;
use std::process::Command;

#[path = "structure/modules.rs"]
mod modules;
#[path = "structure/names.rs"]
mod names;
#[path = "structure/source.rs"]
mod source;

use modules::{Crate, Edge, cycles};
use source::source_files;

const LIBRARY: Crate = Crate { folder: "crates/apicredential/src", by_file: |_| true };
const OPERATOR: Crate = Crate { folder: "src", by_file: |top| top == "controller" };
const PLUGIN: Crate = Crate { folder: "crates/kubectl-apicredential/src", by_file: |_| false };

#[test]
fn the_modules_of_the_library_form_no_cycle() {
    check_cycles(&LIBRARY);
}

#[test]
fn the_modules_of_the_operator_form_no_cycle() {
    check_cycles(&OPERATOR);
}

#[test]
fn the_modules_of_the_plugin_form_no_cycle() {
    check_cycles(&PLUGIN);
}

fn check_cycles(it: &Crate) {
    let edges = it.edges();
    assert!(edges.len() > 40, "{}: only {} edges were found", it.folder, edges.len());
    let mut text = String::new();
    for cycle in cycles(edges.keys()) {
        text += &format!("\n{}", cycle.join(" -> "));
        for step in cycle.windows(2) {
            text += &format!("\n    {} uses {}: {}", step[0], step[1], edges[&(step[0].clone(), step[1].clone())]);
        }
    }
    assert!(text.is_empty(), "{}: modules that use each other:{text}", it.folder);
}

/// What sends, waits or reads a clock. `kube` stands for the whole of it: kube-core and kube-derive are allowed.
const IMPURE: &[&str] = &[
    "axum",
    "hyper",
    "hyper-rustls",
    "hyper-util",
    "kube",
    "kube-client",
    "kube-runtime",
    "mio",
    "reqwest",
    "rustls",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tower",
    "tracing",
];

#[test]
fn the_library_depends_on_nothing_that_sends_or_waits() {
    let arguments = ["tree", "--locked", "--package", "apicredential", "--edges", "normal", "--prefix", "none"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(source::repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(packages.contains("kube-core") && packages.len() > 20, "{packages:?}");
    let impure: Vec<&&str> = packages.iter().filter(|package| IMPURE.contains(package)).collect();
    assert!(impure.is_empty(), "crates/apicredential depends on {impure:?}");
}

/// Lines of a file, without its tests.
const MOST_LINES: usize = 400;

#[test]
fn no_source_file_is_longer_than_400_lines_without_its_tests() {
    let mut files: Vec<_> = ["src", "crates"].into_iter().flat_map(source_files).collect();
    assert!(files.len() > 100, "only {} files were found", files.len());
    files.sort_by_key(|file| file.lines);
    for file in files.iter().rev().take_while(|file| file.lines > 300) {
        println!("{} lines: {}", file.lines, file.path);
    }
    let long: Vec<_> = files.iter().filter(|it| it.lines > MOST_LINES).map(|it| it.path.as_str()).collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines without tests, so split them: {long:?}");
}

#[test]
fn nothing_has_a_private_word_for_what_the_field_has_a_word() {
    let files: Vec<_> = ["src", "crates", "tests"].into_iter().flat_map(source_files).collect();
    let texts: Vec<_> = ["src", "crates", "tests"].into_iter().flat_map(source::texts).collect();
    assert!(texts.len() > 300, "only {} files were found", texts.len());
    let phrases = texts.iter().flat_map(|(path, text)| names::private_phrases(path, text));
    let found: BTreeSet<(String, String)> = files.iter().flat_map(names::private_words).chain(phrases).collect();
    let allowed: BTreeSet<(String, String)> =
        names::EXCEPTIONS.iter().map(|(path, name)| ((*path).into(), (*name).into())).collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    assert!(new.is_empty(), "private words of an earlier time: {new:?}");
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(gone.is_empty(), "no longer there: remove them from the list: {gone:?}");
}

#[test]
fn the_check_finds_a_cycle_and_a_private_word_in_a_sample() {
    let edges: Vec<Edge> = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")].map(|(f, t)| (f.into(), t.into())).into();
    assert_eq!(cycles(&edges), [["a", "b", "c", "a"]]);
    assert_eq!(cycles(&edges[1..]), Vec::<Vec<String>>::new());
    let text = "use crate::a::{self, b::{C, D as E}};\n/// crate::f::G\npub use self::h::I;\nstruct Courier(&'static str);\n\
        fn it() { super::j::K::new(\"crate::l\", 'x') }\n#[cfg(test)]\nmod tests {\n    use crate::m::N;\n}\n";
    let file = source::from_text("src/z.rs".to_owned(), vec!["z".to_owned()], text);
    assert_eq!(file.lines, 5);
    let (imports, body) = source::imports(&file.code);
    let imports: Vec<_> = imports.iter().map(|it| (it.path.join("::"), it.name.as_str(), it.is_public)).collect();
    let expected = [("crate::a", "a", false), ("crate::a::b::C", "C", false), ("crate::a::b::D", "E", false)];
    assert_eq!(imports[..3], expected.map(|(path, name, public)| (path.to_owned(), name, public)));
    assert_eq!(imports[3..], [("self::h::I".to_owned(), "I", true)]);
    assert_eq!(source::paths(&body), [["super", "j", "K", "new"]]);
    assert_eq!(names::private_words(&file), [("src/z.rs".to_owned(), "Courier".to_owned())]);
    let found = names::private_phrases("a.rs", "fn who_is_told() {} // Mend it\n// by\n// hand.");
    assert_eq!(found.iter().map(|(_, phrase)| phrase.as_str()).collect::<Vec<_>>(), ["by hand", "mend", "told"]);
}
