//! A Secret that pods have mounted, watched version by version while its owner changes.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, WatchEvent, WatchParams};
use tokio::task::JoinHandle;

use crate::support::space::{Space, poll};

/// The values of one key since the Secret's creation: its value in each version, `None` where it was absent or the
/// Secret was deleted.
#[derive(Debug, Default)]
struct Versions {
    values: Vec<Option<Vec<u8>>>,
    last_version: String,
    broken: bool,
}

/// A watch on one Secret.
pub struct KeptKey {
    secrets: Api<Secret>,
    secret: String,
    key: String,
    seen: Arc<Mutex<Versions>>,
    task: JoinHandle<()>,
}

impl KeptKey {
    /// Starts to watch. The Secret need not exist yet.
    pub async fn watch(space: &Space, secret: &str, key: &str) -> Self {
        let seen = Arc::<Mutex<Versions>>::default();
        let parameters = WatchParams::default().fields(&format!("metadata.name={secret}"));
        let stream = space.secrets.watch(&parameters, "0").await.expect("Secrets can be watched");
        let task = tokio::spawn({
            let (seen, key) = (Arc::clone(&seen), key.to_owned());
            async move {
                let mut stream = pin!(stream);
                while let Some(event) = stream.next().await {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).take(event, &key);
                }
                seen.lock().unwrap_or_else(PoisonError::into_inner).broken = true;
            }
        });
        let (secret, key) = (secret.to_owned(), key.to_owned());
        Self { secrets: space.secrets.clone(), secret, key, seen, task }
    }

    /// The number of versions and of different values, or what was wrong.
    pub async fn check(self) -> Result<(usize, usize), String> {
        let now = self.secrets.get(&self.secret).await.map_err(|error| error.to_string())?;
        let version = now.metadata.resource_version.unwrap_or_default();
        let caught_up = async || {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.last_version == version || seen.broken).then_some(())
        };
        poll(Duration::from_secs(60), caught_up).await.ok_or("the watch did not come to the last version")?;
        self.task.abort();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.check().map_err(|wrong| format!("the key {} of the Secret {}: {wrong}", self.key, self.secret))
    }
}

impl Versions {
    fn take(&mut self, event: kube::Result<WatchEvent<Secret>>, key: &str) {
        match event {
            Ok(WatchEvent::Added(secret) | WatchEvent::Modified(secret)) => {
                self.values.push(secret.data.and_then(|mut data| data.remove(key)).map(|value| value.0));
                self.last_version = secret.metadata.resource_version.unwrap_or_default();
            }
            Ok(WatchEvent::Deleted(_)) => self.values.push(None),
            Ok(WatchEvent::Bookmark(_)) => {}
            Ok(WatchEvent::Error(_)) | Err(_) => self.broken = true,
        }
    }

    fn check(&self) -> Result<(usize, usize), String> {
        if self.broken {
            return Err("the watch broke, so a version may have been missed".to_owned());
        }
        if let Some(version) = self.values.iter().position(|value| value.as_ref().is_none_or(Vec::is_empty)) {
            return Err(format!("absent or empty in version {} of {}", version + 1, self.values.len()));
        }
        let values: BTreeSet<_> = self.values.iter().collect();
        if values.len() < 2 {
            return Err("it never changed, so nothing was taken over".to_owned());
        }
        Ok((self.values.len(), values.len()))
    }
}

#[test]
fn a_version_without_the_key_is_noticed() {
    let seen = |values: &[Option<&str>]| {
        let values = values.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect();
        Versions { values, ..Versions::default() }
    };
    assert_eq!(seen(&[Some("old"), Some("old"), Some("new")]).check(), Ok((3, 2)));
    for wrong in [&[Some("old"), None, Some("new")], &[Some("old"), Some(""), Some("new")], &[Some("old"); 3]] {
        assert!(seen(wrong).check().is_err(), "{wrong:?}");
    }
    assert!(Versions { broken: true, ..seen(&[Some("old"), Some("new")]) }.check().is_err());
}
