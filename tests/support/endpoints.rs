//! Several providers for one operator: all their origins allowed, all their authorities trusted.

use super::operator::Settings;
use super::provider::StandIn;
use super::{random, undertaker};

impl Settings {
    /// May ask all of these stand-ins, as either provider, and the other origins, which need not exist.
    pub fn endpoints(self, stand_ins: &[&StandIn], others: &[&str]) -> Self {
        stand_ins.iter().for_each(|stand_in| self.witnessed_by(stand_in));
        let bundle: String = stand_ins.iter().map(|stand_in| stand_in.ca_pem()).collect();
        let file = undertaker::directory().join(format!("provider-cas-{}.pem", random::suffix()));
        std::fs::write(&file, bundle).expect("the bundle can be written");
        let origins = stand_ins.iter().map(|stand_in| stand_in.origin()).chain(others.iter().map(ToString::to_string));
        let allowed: Vec<String> = origins.map(|origin| format!("welkin={origin},qontak={origin}")).collect();
        self.flag("--provider-ca-file", &file.display().to_string()).flag("--allowed-endpoints", &allowed.join(","))
    }
}
