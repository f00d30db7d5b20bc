//! The contributing guides are complete where a newcomer relies on them.

use std::fs;
use std::path::Path;

use crate::page::{read, repository};

#[test]
fn every_source_file_that_names_a_provider_is_listed_where_the_guide_adds_one() {
    let guide = read("CONTRIBUTING.md");
    let (_, section) = guide.split_once("\n## How to add a provider\n").expect("the guide has this section");
    let (section, _) = section.split_once("\n## ").expect("another follows");
    let mut found = 0;
    for file in [sources("src"), sources("crates")].concat() {
        // The providers' own files are those to add; the guide names one of them as the model.
        if knows_a_provider(&read(&file)) && !file.ends_with("/welkin.rs") {
            found += 1;
            assert!(section.contains(&format!("`{file}`")), "{file} names a provider, and the guide does not name it");
        }
    }
    assert!(found >= 8, "{found} files");
}

#[test]
fn the_files_and_targets_that_the_guides_name_exist() {
    let (guide, makefile) = (read("CONTRIBUTING.md") + &read("docs/contributing.md"), read("Makefile"));
    let files = [files_in("src"), files_in("crates")].concat();
    for word in guide.split('`').skip(1).step_by(2).filter_map(|code| code.split_whitespace().next()) {
        let folders = ["crates/", "crds/", "deploy/", "docs/", "fuzz/", "src/", "tests/", ".ci/"];
        if folders.iter().any(|folder| word.starts_with(folder)) {
            assert!(repository().join(word).exists(), "{word}");
        } else if word.ends_with(".rs") && !word.starts_with('…') {
            // A file is also named by the end of its path, where the sentence names its folder.
            let end = format!("/{word}");
            assert!(files.iter().any(|file| file.ends_with(&end)), "{word}");
        }
    }
    for target in guide.split("\nmake ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        assert!(makefile.contains(&format!("\n{target}: ")), "make {target}");
    }
    for test in guide.split("--test ").skip(1).filter_map(|rest| rest.split([' ', '`', '\n']).next()) {
        assert!(repository().join("tests").join(test).is_dir(), "--test {test}");
    }
}

/// In code, and not in a comment or a test.
fn knows_a_provider(text: &str) -> bool {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut lines = code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    lines.any(|line| ["qontak", "welkin"].iter().any(|name| line.to_lowercase().contains(name)))
}

fn sources(folder: &str) -> Vec<String> {
    let mut files = files_in(folder);
    files.retain(|file| !file.contains("test"));
    files
}

fn files_in(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(repository().join(folder)).expect("a folder") {
        let path = format!("{folder}/{}", entry.expect("an entry").file_name().to_string_lossy());
        if repository().join(&path).is_dir() {
            files.extend(files_in(&path));
        } else if Path::new(&path).extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
