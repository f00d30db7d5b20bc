//! What a test reads from an object.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use apicredential::api::ApiCredential;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

/// A condition as `status/reason`, such as `True/TokenValid`; `None` if it is absent.
pub fn condition(credential: &ApiCredential, type_: &str) -> Option<String> {
    let conditions = &credential.status.as_ref()?.conditions;
    let condition = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some(format!("{}/{}", condition.status, condition.reason))
}

/// A condition's message.
pub fn message(credential: &ApiCredential, type_: &str) -> Option<String> {
    let conditions = &credential.status.as_ref()?.conditions;
    Some(conditions.iter().find(|condition| condition.type_ == type_)?.message.clone())
}

/// Whether the status is of the current generation.
pub fn observed(credential: &ApiCredential) -> bool {
    credential.status.as_ref().and_then(|status| status.observed_generation) == credential.metadata.generation
}

/// A value of a Secret as text.
pub fn value(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?.0.clone();
    Some(String::from_utf8(bytes).expect("the value is UTF-8"))
}

/// One of our annotations, by its name after `apicredential.io/`.
pub fn annotation(secret: &Secret, name: &str) -> Option<String> {
    secret.annotations().get(&format!("apicredential.io/{name}")).cloned()
}

/// Records which test owns this namespace, for readers of a kept audit log. Each test has a thread of its name.
pub(super) fn note_test(kept: &Path, namespace: &str) {
    let thread = std::thread::current();
    let line = format!("{namespace} {}\n", thread.name().unwrap_or("main"));
    let file = File::options().create(true).append(true).open(kept.join("tests.txt"));
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the folder for audit logs is there");
}
