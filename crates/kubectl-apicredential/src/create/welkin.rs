//! The flags of `create welkin`.

use serde_json::{Value, json};

use super::Common;

#[derive(Debug, clap::Args)]
pub struct Welkin {
    /// Welkin tenant, such as gh
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// Name of the API client in the tenant
    #[arg(long, value_name = "NAME")]
    client_name: String,
    /// Source Secret with the secret of the API client
    #[arg(long, value_name = "NAME")]
    secret_ref: String,
    /// Key of the secret in the source Secret [default: secret]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

impl Welkin {
    /// The block `spec.provider.welkin`. Unset fields are null.
    pub fn block(&self) -> Value {
        json!({
            "tenant": self.tenant,
            "clientName": self.client_name,
            "secretRef": {"name": self.secret_ref},
            "keys": self.key.as_ref().map(|key| json!({"secret": key})),
            "endpoint": self.common.endpoint,
        })
    }
}
