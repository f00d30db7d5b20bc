//! The source Secret, with values from files.

use std::collections::BTreeMap;
use std::io::Read as _;

use apicredential::annotations;
use apicredential::plan::Plan;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::error::{Exit, PluginError};

/// A value of a source Secret has at most 4 KiB. A larger file is a mistake, and the rest of it is not read.
const MAX_FILE: u64 = 64 * 1024;

/// Reads the files, each given as `[KEY=]PATH`. The key may be omitted if the provider needs only one. The Secret has the
/// label that consents to its use for the provider, and the annotation that names its keys if they are not the default ones.
pub fn read(files: &[String], plan: &Plan, namespace: Option<&str>) -> Result<Secret, PluginError> {
    let used: Vec<&str> = plan.request.source_keys().into_iter().map(|key| key.name.as_str()).collect();
    let only_key = if let [key] = used.as_slice() { Some(*key) } else { None };
    let mut data = BTreeMap::new();
    let mut stdin_taken = false;
    for entry in files {
        let (key, path) = match (entry.split_once('='), only_key) {
            (Some((key, path)), _) => (key, path),
            (None, Some(key)) => (key, entry.as_str()),
            (None, None) => {
                let message =
                    format!("--secret-file {entry} names no key; write it as KEY=PATH, such as password=PATH.");
                return Err(PluginError::new(Exit::Usage, message));
            }
        };
        if !used.contains(&key) {
            let message = format!(
                "--secret-file {entry} is for a key that the ApiCredential would not use; it uses {}, and the flags that end in \"key\" name others.",
                used.join(", ")
            );
            return Err(PluginError::new(Exit::Usage, message));
        }
        if path == "-" && std::mem::replace(&mut stdin_taken, true) {
            let message = "--secret-file takes standard input for one key only; put the other value into a file.";
            return Err(PluginError::new(Exit::Usage, message));
        }
        data.insert(key.to_owned(), ByteString(value(path)?));
    }
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(plan.source.clone()),
            namespace: namespace.map(str::to_owned),
            labels: Some(BTreeMap::from([(
                annotations::SOURCE.to_owned(),
                plan.request.provider().label().to_owned(),
            )])),
            annotations: apicredential::source::needed_annotation(&plan.request)
                .map(|keys| BTreeMap::from([(annotations::SOURCE_KEYS.to_owned(), keys)])),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

/// Reads a file without the line break at its end, which editors and a shell's `echo` add.
fn value(path: &str) -> Result<Vec<u8>, PluginError> {
    let mut bytes = Vec::new();
    let read = if path == "-" {
        std::io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        PluginError::new(
            Exit::Usage,
            format!("--secret-file {path} cannot be read: {}; correct the path.", error.kind()),
        )
    })?;
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        } else {
            break;
        }
    }
    Ok(bytes)
}
