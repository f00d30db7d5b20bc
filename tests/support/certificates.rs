//! Certificates for loopback servers, generated in each process.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority (CA) that only those trust who are configured to.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate and its key, both PEM.
pub struct Leaf {
    pub certificate: String,
    pub key: String,
}

impl CertificateAuthority {
    /// A new CA.
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be generated");
        let pem = params.self_signed(&key).expect("a CA can be signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server of these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Leaf {
        self.sign(&server(names))
    }

    /// The same, but expired in 2001.
    pub fn issue_expired(&self, names: &[&str]) -> Leaf {
        let mut params = server(names);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().expect("a key can be generated");
        let certificate = params.signed_by(&key, &self.issuer).expect("a leaf can be signed");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A self-signed certificate.
pub fn self_signed(names: &[&str]) -> Leaf {
    let key = KeyPair::generate().expect("a key can be generated");
    let certificate = server(names).self_signed(&key).expect("a certificate can sign itself");
    Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// A private key (PKCS #8, P-256) and its public key, both PEM.
pub fn key_pair() -> (String, String) {
    let key = KeyPair::generate().expect("a key can be generated");
    (key.serialize_pem(), key.public_key_pem())
}

/// The TLS configuration of a server with this certificate: HTTP/1.1.
pub fn server_config(leaf: &Leaf) -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).expect("a PEM certificate");
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("a PEM key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key fits the certificate");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn server(names: &[&str]) -> CertificateParams {
    let mut params = params(names.first().copied().unwrap_or("server"), names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are valid");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
