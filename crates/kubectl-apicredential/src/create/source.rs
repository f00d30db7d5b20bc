//! The source Secret, from files.

use std::collections::BTreeMap;
use std::io::Read as _;

use apicredential::annotations;
use apicredential::api::Provider;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Source;
use crate::failure::{Exit, Failure};

/// No key of a source may be larger than 4 KiB; whoever names a large file by mistake need not read it all.
const LARGEST: u64 = 64 * 1024;

/// Reads `[KEY=]PATH` each; the label consents to its use for this provider.
pub fn read(files: &[String], source: &Source, provider: Provider, namespace: Option<&str>) -> Result<Secret, Failure> {
    let mut data = BTreeMap::new();
    let mut stdin_taken = false;
    for entry in files {
        let (key, path) = match (entry.split_once('='), &source.key) {
            (Some((key, path)), _) => (key, path),
            (None, Some(key)) => (key.as_str(), entry.as_str()),
            (None, None) => {
                let message =
                    format!("--secret-file {entry} names no key; write it as KEY=PATH, such as password=PATH.");
                return Err(Failure::new(Exit::Usage, message));
            }
        };
        if path == "-" && std::mem::replace(&mut stdin_taken, true) {
            let message = "--secret-file takes standard input for one key only; put the other value into a file.";
            return Err(Failure::new(Exit::Usage, message));
        }
        data.insert(key.to_owned(), ByteString(value(path)?));
    }
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(source.name.clone()),
            namespace: namespace.map(str::to_owned),
            labels: Some(BTreeMap::from([(annotations::SOURCE.to_owned(), provider.label().to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

/// An editor ends a file with a line break, and a shell's echo does, too: it is never meant.
fn value(path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == "-" {
        std::io::stdin().lock().take(LARGEST).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::new(Exit::Usage, format!("--secret-file {path} cannot be read: {}; correct the path.", error.kind()))
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
