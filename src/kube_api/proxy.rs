//! Chooses the HTTP proxy for an API server by the rules of Go's `net/http`, which kubectl uses.
//!
//! The rules of kube-client differ: it compares `NO_PROXY` with the host of the proxy instead of the API server, lets
//! `NO_PROXY` override `proxy-url` in a kubeconfig, and rejects a list with an empty entry.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

/// The environment variables for proxies. An empty string means that the variable is not set.
#[derive(Clone, Debug, Default)]
pub struct ProxyVariables {
    /// `HTTPS_PROXY`: the proxy for API servers with TLS.
    pub https: String,
    /// `HTTP_PROXY`: the proxy for API servers without TLS.
    pub http: String,
    /// `NO_PROXY`: hosts that are reached without a proxy.
    pub no_proxy: String,
}

/// An environment variable whose value is not the URL of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidVariable(pub &'static str);

impl ProxyVariables {
    /// The variables of this process. Names in upper case take precedence.
    pub fn of_process() -> Self {
        let first = |names: [&str; 2]| {
            names.into_iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty())
        };
        let read = |names| first(names).unwrap_or_default();
        Self {
            https: read(["HTTPS_PROXY", "https_proxy"]),
            http: read(["HTTP_PROXY", "http_proxy"]),
            no_proxy: read(["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy for a URL; `None` for a direct connection.
    ///
    /// # Errors
    /// The value of the variable is not the URL of a proxy.
    pub fn proxy_for(&self, url: &Uri) -> Result<Option<Uri>, InvalidVariable> {
        let (name, value) =
            if url.scheme() == Some(&Scheme::HTTP) { ("HTTP_PROXY", &self.http) } else { ("HTTPS_PROXY", &self.https) };
        if value.is_empty() || !self.applies_to(url) {
            return Ok(None);
        }
        match value.split_once("://") {
            Some(_) => parse(value),
            None => parse(&format!("http://{value}")),
        }
        .map(Some)
        .ok_or(InvalidVariable(name))
    }

    fn applies_to(&self, url: &Uri) -> bool {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let port = url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
        let address = address(&host);
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let matches = |entry: &str| matches_entry(&entry.trim().to_ascii_lowercase(), &host, address, port);
        !is_local && !self.no_proxy.split(',').any(matches)
    }
}

/// Parses the URL of a proxy. `None` if this client cannot use it. A SOCKS proxy gets its default port.
pub fn parse(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    match uri.scheme_str()? {
        "http" | "https" => Some(uri),
        "socks5" | "socks5h" if authority.port().is_some() => Some(uri),
        scheme @ ("socks5" | "socks5h") => format!("{scheme}://{authority}:1080").parse().ok(),
        _ => None,
    }
}

/// The origin of a proxy for messages, without its login.
pub fn origin(proxy: &Uri) -> String {
    let authority = proxy.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}", proxy.scheme_str().unwrap_or("http"))
}

/// Whether an entry of `NO_PROXY` matches a host. An entry is `*`, `10.0.0.0/8`, `10.0.0.1`, `[::1]:6443`, `example.com` (which
/// includes its subdomains), `.example.com` or `*.example.com` (only subdomains). All but the first two may have a port.
fn matches_entry(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, prefix)) = cidr(entry) {
        return address.is_some_and(|address| contains(network, prefix, address));
    }
    let (name, only_port) = split_port(entry);
    if only_port.is_some_and(|only| only != port.to_string()) {
        return false;
    }
    if let Some(named) = self::address(name) {
        return address == Some(named);
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        _ if name.is_empty() => false,
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.')),
    }
}

/// Splits an entry into its host and its port, if it has one.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match entry.split_once(':') {
        // More than one colon is an IPv6 address.
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn cidr(entry: &str) -> Option<(IpAddr, u32)> {
    let (network, prefix) = entry.split_once('/')?;
    let network: IpAddr = network.parse().ok()?;
    let prefix: u32 = prefix.parse().ok()?;
    (prefix <= if network.is_ipv4() { 32 } else { 128 }).then_some((network, prefix))
}

fn contains(network: IpAddr, prefix: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(32 - prefix).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(128 - prefix).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(no_proxy: &str) -> ProxyVariables {
        ProxyVariables {
            https: "http://secure:3128".to_owned(),
            http: "plain:3128".to_owned(),
            no_proxy: no_proxy.to_owned(),
        }
    }

    fn proxy(no_proxy: &str, url: &str) -> Option<String> {
        let proxy = variables(no_proxy).proxy_for(&url.parse().unwrap()).unwrap();
        proxy.map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_scheme_of_the_api_server_chooses_the_variable() {
        assert_eq!(proxy("", "https://example.com:6443").as_deref(), Some("http://secure:3128/"));
        assert_eq!(proxy("", "http://example.com").as_deref(), Some("http://plain:3128/"));
        let none = ProxyVariables::default();
        assert_eq!(none.proxy_for(&Uri::from_static("https://example.com")), Ok(None));
    }

    #[test]
    fn the_environments_proxy_is_never_used_for_this_machine() {
        for url in ["https://localhost:6443", "https://127.0.0.1:6443", "https://127.9.9.9", "https://[::1]:6443"] {
            assert_eq!(proxy("", url), None, "{url}");
        }
    }

    /// The cases come from the tests of golang.org/x/net/http/httpproxy.
    #[test]
    fn no_proxy_has_the_meaning_that_it_has_in_go() {
        let list = "foobar.com, .barbaz.net, *.wild.org, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, \
                    2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64, ported.com:6443,, \
                    , :9";
        for (host, is_proxied) in [
            ("foobar.com", false),
            ("FOOBAR.com", false),
            ("www.foobar.com", false),
            ("foofoobar.com", true),
            ("foobar.com.evil", true),
            ("barbaz.net", true),
            ("www.barbaz.net", false),
            ("foobarbaz.net", true),
            ("wild.org", true),
            ("a.wild.org", false),
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("192.168.1.2:81", false),
            ("192.168.1.3", true),
            ("192.168.1.4", true),
            ("10.0.0.2", false),
            ("10.0.0.4", true),
            ("[2001:db8::52:0:1]", false),
            ("[2001:db8::52:0:2]", false),
            ("[2001:db8::52:0:3]", true),
            ("[2002:db8:a::123]", false),
            ("[2002:db8:a:1::123]", true),
            ("ported.com", true),
            ("ported.com:6443", false),
            ("api.ported.com:6443", false),
        ] {
            assert_eq!(proxy(list, &format!("https://{host}")).is_some(), is_proxied, "{host}");
        }
        assert_eq!(proxy("a.example, *", "https://anything.example"), None);
        assert_eq!(proxy("0.0.0.0/0", "https://203.0.113.9"), None);
    }

    #[test]
    fn a_proxy_is_http_https_or_socks5_and_the_environment_may_leave_the_scheme_out() {
        for (text, expected) in [
            ("proxy.example:3128", Some("http://proxy.example:3128/")),
            ("proxy.example", Some("http://proxy.example/")),
            ("https://user:pass@proxy.example", Some("https://user:pass@proxy.example/")),
            ("socks5://proxy.example", Some("socks5://proxy.example:1080/")),
            ("socks5h://proxy.example:9", Some("socks5h://proxy.example:9/")),
            ("ftp://proxy.example", None),
            ("http://", None),
            ("not a url", None),
        ] {
            let variables = ProxyVariables { https: text.to_owned(), ..ProxyVariables::default() };
            let proxy = variables.proxy_for(&Uri::from_static("https://example.com"));
            let expected = expected.map(|expected| Some(expected.to_owned())).ok_or(InvalidVariable("HTTPS_PROXY"));
            assert_eq!(proxy.map(|proxy| proxy.map(|proxy| proxy.to_string())), expected, "{text}");
        }
        assert_eq!(parse("proxy.example:3128"), None, "a kubeconfig has to name the scheme");
    }

    #[test]
    fn a_message_never_contains_the_login_of_a_proxy() {
        assert_eq!(origin(&parse("http://user:p%40ss@proxy.example:3128/path").unwrap()), "http://proxy.example:3128");
    }
}
