//! The transport to providers: CAs to trust in addition to the system's, and the proxy.
//!
//! The proxy variables of the environment are ignored, so that setting a variable cannot redirect requests that carry logins.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Proxy;
use rustls::pki_types::CertificateDer;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tracing::warn;

use super::ca_bundle::CaBundle;

/// The greatest size of a file, in bytes.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// The transport as the flags describe it: the proxy and the paths of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportFiles {
    /// File with PEM certificates of CAs to trust in addition to the system's.
    pub roots: Option<PathBuf>,
    /// The origin of the proxy.
    pub proxy: Option<ProxyOrigin>,
    /// File with the login for the proxy, `user:password`.
    pub proxy_login: Option<PathBuf>,
}

/// The transport with the content of the files.
#[derive(Clone, Default)]
pub struct Transport {
    roots: CaBundle,
    proxy: Option<(ProxyOrigin, Option<ProxyLogin>)>,
}

#[derive(Clone)]
struct ProxyLogin {
    user: SecretString,
    password: SecretString,
}

/// The origin of the proxy: `http://host:port` or `https://host:port`. In both cases the data inside the tunnel is TLS to the
/// provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyOrigin(String);

/// Why the transport cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// A file cannot be read.
    #[error("{flag} {path} cannot be read; correct the path or its permissions")]
    Unreadable {
        /// The flag.
        flag: &'static str,
        /// The path of the file.
        path: String,
    },
    /// The CA file has no certificate that can be read.
    #[error("--provider-ca-file contains no valid PEM certificate; give a file of \"BEGIN CERTIFICATE\" blocks")]
    NoCertificate,
    /// One certificate in the CA file cannot be read.
    #[error("certificate {block} in --provider-ca-file is not valid and is not trusted; correct or remove that block")]
    BadCertificate {
        /// The position among the `CERTIFICATE` blocks of the file; the first is 1.
        block: usize,
    },
    /// The file with the login has no colon, or is not one line of text.
    #[error("--provider-proxy-credentials-file is not one line of the form user:password; correct the file")]
    Login,
    /// `--provider-proxy` is not the origin of a proxy.
    #[error(
        "--provider-proxy is not an http:// or https:// origin; give scheme, host and port, without a user or a path"
    )]
    Origin,
}

impl ProxyOrigin {
    /// Parses the origin of a proxy.
    ///
    /// # Errors
    /// The text has another scheme, no host, a user, a path or a query.
    pub fn parse(text: &str) -> Result<Self, TransportError> {
        let uri: http::Uri = text.parse().map_err(|_| TransportError::Origin)?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or(TransportError::Origin)?;
        let plain = !authority.as_str().contains('@') && uri.path() == "/" && uri.query().is_none();
        let origin = Self(text.trim_end_matches('/').to_owned());
        if scheme && plain { Ok(origin) } else { Err(TransportError::Origin) }
    }
}

impl TransportFiles {
    /// Reads the files. A file that cannot be used counts as absent: nothing that it held before is trusted any more. The
    /// requests still go through the proxy.
    pub fn read(&self) -> (Transport, Vec<TransportError>) {
        let mut errors = Vec::new();
        let mut unless_error = |error| errors.push(error);
        let roots = self.roots.as_deref().map(read_roots).transpose().map_err(&mut unless_error);
        let login = self.proxy_login.as_deref().map(read_login).transpose().map_err(&mut unless_error);
        let roots = roots.ok().flatten().unwrap_or_default();
        errors.extend(roots.bad_blocks.iter().map(|block| TransportError::BadCertificate { block: *block }));
        let proxy = self.proxy.clone().map(|origin| (origin, login.ok().flatten()));
        (Transport { roots, proxy }, errors)
    }

    /// Reads the files at start. A certificate in the CA file that cannot be read is logged; the others are used.
    ///
    /// # Errors
    /// A file cannot be read, or its content is invalid.
    pub fn read_at_start(&self) -> Result<Transport, TransportError> {
        let (transport, errors) = self.read();
        for error in errors {
            match error {
                TransportError::BadCertificate { .. } => warn!("{error}"),
                _ => return Err(error),
            }
        }
        Ok(transport)
    }

    /// Whether the transport uses a file, whose content may change.
    pub fn may_change(&self) -> bool {
        self.roots.is_some() || self.proxy_login.is_some()
    }
}

impl Transport {
    /// A transport without a proxy that trusts these PEM certificates in addition to the system's.
    pub fn trusting(roots_pem: &[u8]) -> Self {
        Self { roots: CaBundle::parse(roots_pem), proxy: None }
    }

    /// The same transport through a proxy without a login.
    pub fn through(mut self, proxy: ProxyOrigin) -> Self {
        self.proxy = Some((proxy, None));
        self
    }

    /// The CAs to trust in addition to the system's.
    pub(super) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots.certificates
    }

    /// The proxy, for the HTTP client.
    pub(super) fn proxy(&self) -> Option<reqwest::Result<Proxy>> {
        let (origin, login) = self.proxy.as_ref()?;
        let proxy = Proxy::https(origin.0.as_str());
        Some(proxy.map(|proxy| match login {
            None => proxy,
            Some(login) => proxy.basic_auth(login.user.expose_secret(), login.password.expose_secret()),
        }))
    }
}

impl PartialEq for Transport {
    fn eq(&self, other: &Self) -> bool {
        let login = |transport: &Self| {
            let (_, login) = transport.proxy.as_ref()?;
            login.as_ref().map(|it| (it.user.expose_secret().to_owned(), it.password.expose_secret().to_owned()))
        };
        let origin = |transport: &Self| transport.proxy.as_ref().map(|(origin, _)| origin.clone());
        self.roots == other.roots && origin(self) == origin(other) && login(self) == login(other)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl ProxyLogin {
    fn parse(bytes: &[u8]) -> Result<Self, TransportError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TransportError::Login)?;
        // Editors on Windows write a byte order mark, which is no part of the user name.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (user, password) = line.split_once(':').ok_or(TransportError::Login)?;
        if user.is_empty() || line.chars().any(char::is_control) {
            return Err(TransportError::Login);
        }
        Ok(Self { user: user.into(), password: password.into() })
    }
}

fn read_roots(path: &Path) -> Result<CaBundle, TransportError> {
    let bundle = CaBundle::parse(&read("--provider-ca-file", path)?);
    if bundle.certificates.is_empty() { Err(TransportError::NoCertificate) } else { Ok(bundle) }
}

fn read_login(path: &Path) -> Result<ProxyLogin, TransportError> {
    ProxyLogin::parse(&Zeroizing::new(read("--provider-proxy-credentials-file", path)?))
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TransportError> {
    let unreadable = |_| TransportError::Unreadable { flag, path: path.display().to_string() };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE_SIZE {
        return Err(unreadable(std::io::Error::other("too large")));
    }
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_origin_and_nothing_more() {
        for good in ["http://proxy:3128", "https://proxy.example/", "http://10.0.0.1:8080", "http://[::1]:3128"] {
            assert!(ProxyOrigin::parse(good).is_ok(), "{good}");
        }
        let bad =
            ["proxy:3128", "socks5://proxy", "http://user:secret@proxy", "http://proxy/path", "http://proxy?q", ""];
        for bad in bad {
            assert_eq!(ProxyOrigin::parse(bad), Err(TransportError::Origin), "{bad}");
        }
    }

    #[test]
    fn a_login_is_one_line_and_its_password_may_contain_colons() {
        for good in ["user:pass", "user:pass\n", "user:pass\r\n", "\u{feff}user:pass\r\n"] {
            let login = ProxyLogin::parse(good.as_bytes()).unwrap();
            assert_eq!((login.user.expose_secret(), login.password.expose_secret()), ("user", "pass"));
        }
        assert_eq!(ProxyLogin::parse(b"user:a:b").unwrap().password.expose_secret(), "a:b");
        for bad in [&b"user"[..], b":pass", b"user:pass\nmore", b"\xff:pass", b"", b"user:pa\0ss", b"\xff\xfeu\0:\0"] {
            assert_eq!(ProxyLogin::parse(bad).err(), Some(TransportError::Login));
        }
    }

    #[test]
    fn an_error_names_the_missing_file_and_its_flag() {
        let files = TransportFiles { roots: Some("/nowhere/ca.pem".into()), ..TransportFiles::default() };
        let error = files.read_at_start().unwrap_err().to_string();
        assert_eq!(error, "--provider-ca-file /nowhere/ca.pem cannot be read; correct the path or its permissions");
    }

    #[test]
    fn a_changed_login_makes_another_transport_and_debug_output_contains_no_login() {
        let transport = |login: &str| {
            let proxy = ProxyOrigin::parse("http://proxy:3128").unwrap();
            Transport {
                roots: CaBundle::default(),
                proxy: Some((proxy, Some(ProxyLogin::parse(login.as_bytes()).unwrap()))),
            }
        };
        assert_eq!(transport("user:secret"), transport("user:secret"));
        assert_ne!(transport("user:secret"), transport("user:another"));
        assert!(!format!("{:?}", transport("user:secret")).contains("secret"));
    }

    #[test]
    fn a_file_that_cannot_be_used_withdraws_what_it_held() {
        let folder = tempfile::tempdir().unwrap();
        let (roots, login) = (folder.path().join("ca.pem"), folder.path().join("login"));
        let proxy = ProxyOrigin::parse("http://proxy:3128").unwrap();
        let files = TransportFiles { roots: Some(roots.clone()), proxy: Some(proxy), proxy_login: Some(login.clone()) };
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap().self_signed(&key).unwrap().pem();
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();

        write(&roots, &pem);
        write(&login, "user:pass\n");
        let (transport, errors) = files.read();
        assert_eq!((transport.roots().len(), errors), (1, vec![]));
        assert!(transport.proxy.unwrap().1.is_some());

        write(&roots, &format!("{pem}-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"));
        let (transport, errors) = files.read();
        assert_eq!((transport.roots().len(), errors), (1, vec![TransportError::BadCertificate { block: 2 }]));
        assert!(files.read_at_start().is_ok());

        for text in ["", "no certificate"] {
            write(&roots, text);
            write(&login, text);
            let (transport, errors) = files.read();
            assert_eq!(errors, [TransportError::NoCertificate, TransportError::Login], "{text:?}");
            assert!(transport.roots().is_empty());
            assert!(matches!(transport.proxy, Some((_, None))), "the proxy stays, without a login");
            assert_eq!(files.read_at_start().err(), Some(TransportError::NoCertificate));
        }
        std::fs::remove_file(&roots).unwrap();
        assert!(matches!(files.read().1[..], [TransportError::Unreadable { .. }, TransportError::Login]));
    }
}
