//! The flags of `create qontak`.

use serde_json::{Value, json};

use super::Common;

#[derive(Debug, clap::Args)]
pub struct Qontak {
    /// The Secret with the login, in the keys username and password
    #[arg(long, value_name = "NAME")]
    secret_ref: String,
    #[command(flatten)]
    pub common: Common,
}

impl Qontak {
    /// The block `spec.provider.qontak`. Unset fields are null.
    pub fn block(&self) -> Value {
        json!({"secretRef": {"name": self.secret_ref}, "endpoint": self.common.endpoint})
    }
}
