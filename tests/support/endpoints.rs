//! Several providers for one operator: all their origins allowed, all their CAs trusted.

use super::operator::Settings;
use super::provider::MockProvider;
use super::{random, reaper};

impl Settings {
    /// Allows all of these mock providers, for either provider, and the other origins, which need not exist.
    pub fn endpoints(self, mock_providers: &[&MockProvider], others: &[&str]) -> Self {
        mock_providers.iter().for_each(|mock_provider| self.witnessed_by(mock_provider));
        let bundle: String = mock_providers.iter().map(|mock_provider| mock_provider.ca_pem()).collect();
        let file = reaper::directory().join(format!("provider-cas-{}.pem", random::suffix()));
        std::fs::write(&file, bundle).expect("the bundle can be written");
        let origins = mock_providers
            .iter()
            .map(|mock_provider| mock_provider.origin())
            .chain(others.iter().map(ToString::to_string));
        let allowed: Vec<String> = origins.map(|origin| format!("welkin={origin},qontak={origin}")).collect();
        self.flag("--provider-ca-file", &file.display().to_string()).flag("--allowed-endpoints", &allowed.join(","))
    }
}
