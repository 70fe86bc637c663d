//! A packet forwarder over a real socket.

use crate::lorawan::text::{base64, hex, to_base64};
use serde_json::{Value, json};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};
use tokio::net::UdpSocket;

/// What ought to come comes long before this.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it came in time")
}

pub(super) struct Gateway {
    socket: UdpSocket,
    eui: u64,
    version: u8,
    token: u16,
    /// Answers that came while another was waited for.
    early: VecDeque<Vec<u8>>,
}

/// A PULL_RESP.
pub(super) struct PullResp {
    pub(super) version: u8,
    pub(super) token: u16,
    pub(super) txpk: Value,
}

impl PullResp {
    pub(super) fn phy(&self) -> Vec<u8> {
        let phy = base64(self.txpk["data"].as_str().unwrap()).unwrap();
        assert_eq!(self.txpk["size"], phy.len());
        phy
    }
}

pub(super) fn rxpk(phy: &[u8], tmst: u32, snr: f64) -> Value {
    json!({
        "tmst": tmst, "chan": 0, "rfch": 1, "freq": 868.1, "stat": 1, "modu": "LORA", "datr": "SF7BW125", "codr": "4/5",
        "rssi": -60, "lsnr": snr, "size": phy.len(), "data": to_base64(phy).trim_end_matches('='),
    })
}

/// The frame as a station takes it apart.
pub(super) fn updf(phy: &[u8]) -> Value {
    let word = |b: &[u8]| i32::from_le_bytes(b.try_into().unwrap());
    let n = phy.len();
    json!({
        "msgtype": "updf", "MHdr": phy[0], "DevAddr": word(&phy[1..5]), "FCtrl": phy[5],
        "FCnt": u16::from_le_bytes([phy[6], phy[7]]), "FOpts": "", "FPort": phy[8], "FRMPayload": hex(&phy[9..n - 4]),
        "MIC": word(&phy[n - 4..]), "DR": 5, "Freq": 868_100_000, "upinfo": {"rctx": 0, "xtime": 4, "gpstime": 0, "rssi": -60, "snr": 9},
    })
}

impl Gateway {
    pub(super) async fn new(eui: u64, version: u8, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        Self { socket, eui, version, token: 0, early: VecDeque::new() }
    }

    pub(super) async fn raw(&self, bytes: &[u8]) {
        self.socket.send(bytes).await.unwrap();
    }

    /// Sends a packet and waits for nothing.
    pub(super) async fn post(&mut self, kind: u8, body: &[u8]) {
        self.token = self.token.wrapping_add(1);
        self.packet(self.token, kind, body).await;
    }

    async fn packet(&self, token: u16, kind: u8, body: &[u8]) {
        let mut bytes = vec![self.version];
        bytes.extend(token.to_be_bytes());
        bytes.push(kind);
        bytes.extend(self.eui.to_be_bytes());
        bytes.extend(body);
        self.raw(&bytes).await;
    }

    pub(super) async fn receive(&self) -> Vec<u8> {
        let mut bytes = vec![0; 2_048];
        let n = within(self.socket.recv(&mut bytes)).await.unwrap();
        bytes.truncate(n);
        bytes
    }

    /// The next packet that fits.
    async fn expect(&mut self, fits: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        loop {
            if let Some(at) = self.early.iter().position(|p| fits(p)) {
                return self.early.remove(at).unwrap();
            }
            let packet = self.receive().await;
            self.early.push_back(packet);
        }
    }

    /// Sends a packet and waits for its acknowledgement; the door takes packets in order, so earlier ones are done with.
    async fn ask(&mut self, kind: u8, body: &[u8], ack: u8) {
        self.post(kind, body).await;
        let [t0, t1] = self.token.to_be_bytes();
        let wanted = [self.version, t0, t1, ack];
        self.expect(|packet| packet == wanted).await;
    }

    pub(super) async fn push(&mut self, frames: Vec<Value>) {
        self.ask(0, json!({ "rxpk": frames }).to_string().as_bytes(), 1).await;
    }

    pub(super) async fn status(&mut self, lat: f64, lon: f64) {
        self.ask(0, json!({"stat": {"time": "2024-01-12 08:59:28 GMT", "lati": lat, "long": lon, "rxnb": 0}}).to_string().as_bytes(), 1)
            .await;
    }

    pub(super) async fn pull(&mut self) {
        self.ask(2, b"", 4).await;
    }

    pub(super) async fn pull_resp(&mut self) -> PullResp {
        let bytes = self.expect(|packet| packet[3] == 3).await;
        let body: Value = serde_json::from_slice(&bytes[4..]).unwrap();
        PullResp { version: bytes[0], token: u16::from_be_bytes([bytes[1], bytes[2]]), txpk: body["txpk"].clone() }
    }

    pub(super) async fn tx_ack(&mut self, token: u16, body: Value) {
        let body = if body == json!({}) { String::new() } else { body.to_string() };
        self.packet(token, 5, body.as_bytes()).await;
    }

    /// Whether nothing has come, now that the door has answered others later.
    pub(super) async fn hears_nothing(&self) -> bool {
        self.socket.try_recv(&mut [0; 16]).is_err()
    }
}
