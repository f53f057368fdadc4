//! Where a line leads: an address, or a name that is looked up when a connection is opened. A name is looked up
//! again after a while and whenever nobody answers, since a container that comes back may have moved. It must
//! not remember that a lookup failed: the name may be there the next time.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pumphandle_core::time::{Time, now};
use tokio::net::{TcpSocket, lookup_host};

/// How long a name's address is believed without asking again. A storm opens thousands of connections per
/// second, and each lookup takes a thread.
const BELIEVED: Duration = Duration::from_secs(5);

/// See the module.
pub(super) enum Address {
    Fixed(SocketAddr),
    Named { name: String, found: Mutex<Option<(Time, SocketAddr)>> },
}

impl Address {
    /// Reads `host:port`; `None` if it is something else.
    pub(super) fn parse(text: &str) -> Option<Address> {
        if let Ok(address) = text.parse() {
            return Some(Address::Fixed(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let printable = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        let fits = !host.is_empty() && host.len() < 256 && host.chars().all(printable);
        (fits && port.parse::<u16>().is_ok_and(|port| port > 0))
            .then(|| Address::Named { name: text.to_owned(), found: Mutex::default() })
    }

    /// The address itself.
    pub(super) async fn find(&self) -> io::Result<SocketAddr> {
        let (name, found) = match self {
            Address::Fixed(address) => return Ok(*address),
            Address::Named { name, found } => (name, found),
        };
        let known = *found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, address)) = known
            && now().since(at) < BELIEVED
        {
            return Ok(address);
        }
        let nobody = || io::Error::new(io::ErrorKind::NotFound, format!("no address for {name}"));
        // Whatever the resolver says, it is about the peer and not about this machine.
        let mut all = lookup_host(name.as_str()).await.map_err(|_| nobody())?;
        let address = all.next().ok_or_else(nobody)?;
        *found.lock().unwrap_or_else(PoisonError::into_inner) = Some((now(), address));
        Ok(address)
    }

    /// Nobody answered: looks the name up again next time.
    pub(super) fn forget(&self) {
        if let Address::Named { found, .. } = self {
            *found.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// A socket of the address' family.
pub(super) fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["127.0.0.1:7000", "[::1]:7000", "api:7000", "control-api:7000", "api.rig.svc:1"] {
            assert!(Address::parse(good).is_some(), "{good}");
        }
        for bad in
            ["", "api", ":7000", "api:", "api:0", "api:70000", "a b:1", "http://api:7000", "api:7000/x"]
        {
            assert!(Address::parse(bad).is_none(), "{bad}");
        }
    }
}
