//! Reads the source Secret as the user of a kubeconfig.

use std::time::Duration;

use apicredential::providers::{ProviderRequest, SourceKey};
use apicredential::reason::{Reason, Refusal};
use apicredential::source;
use apicredential::source::SecretValues;
use k8s_openapi::api::core::v1::Secret;
use kube::Config;

use super::failure::CommandError;
use super::flags::ProviderWords;
use super::plan::SourceSecret;
use crate::kube_api::kubeconfig::{self, Environment, Selection};
use crate::kube_api::{self, ApiError, client};

/// Reads the values that the request needs, under the operator's rules.
pub(super) async fn read(request: &ProviderRequest, secret: &SourceSecret) -> Result<SecretValues, CommandError> {
    let config = config(secret).await?;
    let namespace = secret.name.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let name = &secret.name.name;
    let client = client::for_command(&config).map_err(|_| {
        CommandError::local(
            "the certificates or the login in the kubeconfig cannot be used; test them with kubectl, or choose another --context",
        )
    })?;
    let found = kube_api::read_secret(client, &namespace, name, kube_api::READ).await;
    let found = found.map_err(|error| read_error(&error, &namespace, name))?;
    source::read(&namespace, name, request, found.as_ref())
        .map_err(|refusal| in_terms_of_flags(refusal, request, (&namespace, name), found.as_ref()).into())
}

async fn config(secret: &SourceSecret) -> Result<Config, CommandError> {
    let selection =
        Selection { file: secret.kubeconfig.clone(), context: secret.context.clone(), ..Selection::default() };
    let config = kubeconfig::load(&selection, &Environment::of_process()).await;
    let mut config = config.map_err(|error| {
        let others = if error.is_missing() { ", or provide the login another way" } else { "" };
        CommandError::local(format!("{error}; {}{others}", error.remedy()))
    })?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

fn read_error(error: &ApiError, namespace: &str, name: &str) -> CommandError {
    let reason = error.reason();
    CommandError::from(Refusal::new(
        reason,
        match reason {
            Reason::Forbidden => format!(
                "The API server does not let you read the Secret {name:?}; request permission to get Secrets in the namespace {namespace:?}."
            ),
            Reason::Unauthorized => {
                "The API server does not accept the login of the context; log in again, or choose another --context."
                    .to_owned()
            }
            _ => "The API server of the context did not respond; check --context and the network.".to_owned(),
        },
    ))
}

/// The message in terms of flags. The messages of [`source::read`] are in terms of a spec.
fn in_terms_of_flags(
    refusal: Refusal,
    request: &ProviderRequest,
    (namespace, name): (&str, &str),
    secret: Option<&Secret>,
) -> Refusal {
    let message = match refusal.reason {
        Reason::SourceSecretNotFound => {
            format!(
                "The Secret {name:?} does not exist in the namespace {namespace:?}; correct --from-secret, or create it."
            )
        }
        Reason::SourceKeyMissing => {
            let data = secret.and_then(|secret| secret.data.as_ref());
            let is_missing = |key: &&SourceKey| data.is_none_or(|data| !data.contains_key(&key.name));
            let key = request.source_keys().into_iter().find(is_missing).map_or("", |key| key.name.as_str());
            let flags = ProviderWords::of(request.provider()).key_flags;
            format!("The source Secret lacks the key {key:?}; add it, or name another with {flags}.")
        }
        _ => return refusal,
    };
    Refusal::new(refusal.reason, message)
}
