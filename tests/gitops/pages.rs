//! The pages on GitOps and security: their snippets can be parsed, their files exist, their quotations are correct.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_snippets_are_yaml() {
    let page = read("docs/gitops.md");
    let snippets: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(snippets.len() >= 6, "{} snippets", snippets.len());
    for snippet in snippets {
        let read: Result<Value, _> = serde_saphyr::from_str(snippet);
        assert!(read.is_ok_and(|value| value.is_object()), "{snippet}");
    }
}

#[test]
fn the_files_that_the_pages_name_exist() {
    for page in ["docs/gitops.md", "docs/security.md"] {
        let text = read(page);
        let words = text.split(['`', ' ', '\n', '(', ')', '|']).map(|word| word.trim_end_matches(['.', ',', ':', ';']));
        let files = words.filter(|word| ["deploy/", "tests/", "crds/"].iter().any(|folder| word.starts_with(folder)));
        for file in files {
            assert!(path(file).exists(), "{page} names {file}");
        }
    }
}

#[test]
fn the_rejection_that_the_security_page_quotes_is_the_policys() {
    let quoted: Vec<String> =
        read("docs/security.md").lines().filter_map(|line| line.strip_prefix("> ").map(str::to_owned)).collect();
    let said = quoted.join(" ");
    let policies: Vec<Value> = serde_saphyr::from_multiple(&read("deploy/guard-rails/admission-policy.yaml")).unwrap();
    let expression = policies[0]["spec"]["validations"][0]["messageExpression"].as_str().unwrap();
    // The literal parts of the expression, in their order.
    let mut rest = said.as_str();
    for part in expression.split('\'').skip(1).step_by(2) {
        let found = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in {said:?}"));
        rest = &rest[found + part.len()..];
    }
}
