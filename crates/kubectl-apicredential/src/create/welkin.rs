//! The flags of `create welkin`.

use serde_json::{Value, json};

use super::Common;
use super::manifest::without_nulls;

#[derive(Debug, clap::Args)]
pub struct Welkin {
    /// The Welkin tenant, such as gh
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The name of the API client in that tenant
    #[arg(long, value_name = "NAME")]
    client_name: String,
    /// The Secret with the client's secret, and its key if that is not "secret"
    #[arg(long, value_name = "NAME[:KEY]")]
    secret_ref: String,
    #[command(flatten)]
    pub common: Common,
}

impl Welkin {
    /// The block `spec.provider.welkin`. Unset fields are null.
    pub fn block(&self) -> Value {
        let (name, key) = match self.secret_ref.split_once(':') {
            Some((name, key)) => (name, Some(key)),
            None => (self.secret_ref.as_str(), None),
        };
        json!({
            "tenant": self.tenant,
            "clientName": self.client_name,
            "secretRef": without_nulls(&json!({"name": name, "key": key})),
            "endpoint": self.common.endpoint,
        })
    }
}
