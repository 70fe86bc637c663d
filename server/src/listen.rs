//! Taking a port, and saying which setting to change when it is taken.

use anyhow::{Context as _, Result, bail};
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, UdpSocket};

/// What to do when the port of a setting is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenTaken {
    /// Stop with an error that names the setting.
    Fail,
    /// Take the next free port and say so (the demo).
    TakeFree,
}

const TRIES: u16 = 50;

/// Binds `address`, the value of `setting`.
pub async fn bind(setting: &str, address: SocketAddr, when_taken: WhenTaken) -> Result<TcpListener> {
    bind_with(setting, address, when_taken, TcpListener::bind::<SocketAddr>).await
}

/// The same for UDP.
pub async fn bind_udp(setting: &str, address: SocketAddr, when_taken: WhenTaken) -> Result<UdpSocket> {
    bind_with(setting, address, when_taken, UdpSocket::bind::<SocketAddr>).await
}

async fn bind_with<T, F>(setting: &str, address: SocketAddr, when_taken: WhenTaken, take: impl Fn(SocketAddr) -> F) -> Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    match take(address).await {
        Ok(listener) => return Ok(listener),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && when_taken == WhenTaken::Fail => {
            bail!(
                "port {} is taken by another program; stop it, or set {setting} (PORTICO_{}) to another address",
                address.port(),
                env_of(setting)
            );
        }
        Err(e) if e.kind() != std::io::ErrorKind::AddrInUse => {
            return Err(e).with_context(|| format!("cannot listen on {address}, the value of {setting}"));
        }
        Err(_) => {}
    }
    for offset in 1..=TRIES {
        let next = SocketAddr::new(address.ip(), address.port().saturating_add(offset));
        if let Ok(listener) = take(next).await {
            tracing::warn!(setting, taken = address.port(), using = next.port(), "port taken, using the next free one");
            return Ok(listener);
        }
    }
    bail!("no free port from {} on for {setting}", address.port())
}

fn env_of(setting: &str) -> String {
    setting.replace('.', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_the_setting_or_moves_on() {
        let first = bind("mqtt.bind", "127.0.0.1:0".parse().unwrap(), WhenTaken::Fail).await.unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind("mqtt.bind", taken, WhenTaken::Fail).await.unwrap_err().to_string();
        assert!(error.contains("mqtt.bind") && error.contains("PORTICO_MQTT_BIND"), "{error}");
        let second = bind("mqtt.bind", taken, WhenTaken::TakeFree).await.unwrap();
        assert_ne!(second.local_addr().unwrap(), taken);
        let first = bind_udp("lorawan.bind", "127.0.0.1:0".parse().unwrap(), WhenTaken::Fail).await.unwrap();
        let error = bind_udp("lorawan.bind", first.local_addr().unwrap(), WhenTaken::Fail).await.unwrap_err().to_string();
        assert!(error.contains("lorawan.bind") && error.contains("PORTICO_LORAWAN_BIND"), "{error}");
    }
}
