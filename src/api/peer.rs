//! The address that a request comes from.

use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap};

/// The other end of a request's connection. The server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// In the extensions of requests whose connections come from a proxy.
#[derive(Clone, Copy, Debug)]
pub struct BehindProxy;

/// Parses an address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    text.parse().ok().or_else(with_port)
}

/// Returns the address of the client, or of the last proxy before it.
///
/// Behind a proxy it is the last address in `X-Forwarded-For`, which the proxy adds; the client can
/// only choose those before it.
pub(super) fn peer(extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let connected = extensions.get().map(|Peer(peer)| peer.ip().to_canonical());
    if extensions.get::<BehindProxy>().is_none() {
        return connected;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    forwarded
        .and_then(|forwarded| {
            let last = forwarded.to_str().ok()?.rsplit(',').next()?;
            address(last.trim())
        })
        .or(connected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_is_believed_about_the_address_of_a_client() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "10.0.0.1".parse().expect("a value"));
        headers.append("x-forwarded-for", "10.0.0.2, ::3".parse().expect("a value"));
        let mut extensions = Extensions::new();
        extensions.insert(Peer("[::ffff:192.0.2.1]:80".parse().expect("an address")));
        let direct = Some(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(peer(&extensions, &headers), direct);
        extensions.insert(BehindProxy);
        let forwarded = Some("::3".parse().expect("an address"));
        assert_eq!(peer(&extensions, &headers), forwarded);
        assert_eq!(peer(&extensions, &HeaderMap::new()), direct);
        headers.append("x-forwarded-for", "[::4]:1234".parse().expect("a value"));
        let with_port = Some("::4".parse().expect("an address"));
        assert_eq!(peer(&extensions, &headers), with_port);
        headers.append("x-forwarded-for", "unknown".parse().expect("a value"));
        assert_eq!(peer(&extensions, &headers), direct);
    }
}
