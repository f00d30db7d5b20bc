//! Reads the source Secret as the user of a kubeconfig.

use std::time::Duration;

use apicredential::providers::ProviderRequest;
use apicredential::reason::{Reason, Refusal};
use apicredential::source;
use apicredential::source::SecretValues;
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
            "the certificates or credentials in the kubeconfig cannot be used; try them with kubectl, and choose another --context",
        )
    })?;
    let found = kube_api::read_secret(client, &namespace, name, kube_api::READ).await;
    let found = found.map_err(|error| read_error(&error, &namespace, name))?;
    source::read(&namespace, name, request, found.as_ref())
        .map_err(|refusal| in_terms_of_flags(refusal, request, &namespace, name).into())
}

async fn config(secret: &SourceSecret) -> Result<Config, CommandError> {
    let selection =
        Selection { file: secret.kubeconfig.clone(), context: secret.context.clone(), ..Selection::default() };
    let config = kubeconfig::load(&selection, &Environment::of_process()).await;
    let mut config = config.map_err(|error| {
        let others = if error.is_missing() { ", or give the credentials another way" } else { "" };
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
                "The API server does not let you read the Secret {name:?}; log in anew, or ask for the right to get secrets in the namespace {namespace:?}."
            ),
            _ => "The API server of the context did not answer; check --context and the network.".to_owned(),
        },
    ))
}

/// The message in terms of flags. The messages of [`source::read`] are in terms of a spec.
fn in_terms_of_flags(refusal: Refusal, request: &ProviderRequest, namespace: &str, name: &str) -> Refusal {
    let message = match refusal.reason {
        Reason::SourceSecretNotFound => {
            format!(
                "The Secret {name:?} does not exist in the namespace {namespace:?}; correct --from-secret, or create it."
            )
        }
        Reason::SourceKeyMissing => {
            let lack = refusal.message.split(';').next().unwrap_or_default();
            let flags = ProviderWords::of(request.provider()).key_flags;
            format!("{lack}; add it, or name another with {flags}.")
        }
        _ => return refusal,
    };
    Refusal::new(refusal.reason, message)
}
