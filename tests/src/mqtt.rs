//! A QoS 1 publisher that knows exactly which of its messages were acknowledged.

use anyhow::{Result, ensure};
use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// A message with a number of the caller's, to tell later whether it was acknowledged.
#[derive(Debug, Clone)]
pub struct Numbered {
    pub id: u64,
    pub topic: String,
    pub payload: String,
}

/// An MQTT 3.1.1 connection.
#[derive(Debug)]
pub struct Publisher {
    socket: TcpStream,
    /// Messages in flight by packet id.
    flying: std::collections::HashMap<u16, u64>,
    next: u16,
    rest: Vec<u8>,
    pub acked: BTreeSet<u64>,
}

impl Publisher {
    pub fn connect(place: &str, client: &str, user: &str, password: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(place)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut body = text("MQTT");
        body.extend([4, 0xC2, 0, 0]);
        for part in [client, user, password] {
            body.extend(text(part));
        }
        socket.write_all(&packet(0x10, &body))?;
        let mut answer = [0; 4];
        socket.read_exact(&mut answer)?;
        ensure!(answer[0] == 0x20 && answer[3] == 0, "connection refused with code {}", answer[3]);
        Ok(Self { socket, flying: Default::default(), next: 0, rest: Vec::new(), acked: BTreeSet::new() })
    }

    /// Sends without waiting for the acknowledgement.
    pub fn send(&mut self, messages: &[Numbered]) -> Result<()> {
        let mut out = Vec::new();
        for m in messages {
            self.next = self.next % 65_535 + 1;
            self.flying.insert(self.next, m.id);
            let mut body = text(&m.topic);
            body.extend(self.next.to_be_bytes());
            body.extend(m.payload.as_bytes());
            out.extend(packet(0x32, &body));
        }
        Ok(self.socket.write_all(&out)?)
    }

    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// Reads acknowledgements until at most `flying` messages wait for one.
    pub fn settle(&mut self, flying: usize) -> Result<()> {
        while self.flying.len() > flying {
            let mut buffer = [0; 65_536];
            let n = self.socket.read(&mut buffer)?;
            ensure!(n > 0, "the broker closed the connection");
            self.rest.extend_from_slice(&buffer[..n]);
            while self.rest.len() >= 4 {
                let ack: Vec<u8> = self.rest.drain(..4).collect();
                ensure!(ack[0] == 0x40, "packet {:#x} is no PUBACK", ack[0]);
                if let Some(id) = self.flying.remove(&u16::from_be_bytes([ack[2], ack[3]])) {
                    self.acked.insert(id);
                }
            }
        }
        Ok(())
    }
}

fn text(s: &str) -> Vec<u8> {
    let mut out = (s.len() as u16).to_be_bytes().to_vec();
    out.extend(s.as_bytes());
    out
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    let mut n = body.len();
    loop {
        let digit = (n % 128) as u8;
        n /= 128;
        out.push(if n > 0 { digit | 0x80 } else { digit });
        if n == 0 {
            break;
        }
    }
    out.extend(body);
    out
}
