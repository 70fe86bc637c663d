//! Mosquitto's own clients against the broker, over TCP.

use super::harness::{TestAccess, peer_program};
use crate::broker::{Broker, BrokerConfig};
use crate::{Door, Durable, Group, IngestError};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use schemas::SystemClock;
use std::{process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::Command,
};
use tokio_util::sync::CancellationToken;

/// Durable at once, and remembered.
#[derive(Default)]
struct Memory(Mutex<Vec<String>>);

impl Door for Memory {
    fn submit(&self, group: Group) -> BoxFuture<'_, Result<Durable, IngestError>> {
        self.0.lock().extend(group.messages.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()));
        Box::pin(async { Ok(Box::pin(async { Ok(1_u64) }) as Durable) })
    }
}

fn client(program: &str, version: &str, qos: &str, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version, "-q", qos, "-u", "u", "-P", "u", "-t", "city/air"]);
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

#[tokio::test]
async fn mosquitto_pub_and_sub_work_in_both_versions_and_every_qos() {
    let (Some(publisher), Some(subscriber)) = (peer_program("mosquitto_pub"), peer_program("mosquitto_sub")) else { return };
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (door, stop) = (Arc::new(Memory::default()), CancellationToken::new());
            let broker =
                Broker::new(BrokerConfig::default(), Arc::clone(&door) as Arc<dyn Door>, Arc::new(TestAccess), Arc::new(SystemClock));
            let served = tokio::spawn({
                let (broker, stop) = (broker.clone(), stop.clone());
                async move { broker.serve(listener, None, stop).await }
            });

            let mut sub = client(&subscriber, version, qos, port).args(["-C", "200"]).spawn().unwrap();
            let mut heard = BufReader::new(sub.stdout.take().unwrap()).lines();
            while broker.stats().subscriptions == 0 {
                tokio::task::yield_now().await;
            }

            let mut publishing = client(&publisher, version, qos, port).arg("-l").spawn().unwrap();
            let lines: Vec<String> = (0..200).map(|i| format!("message {i}")).collect();
            publishing.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).await.unwrap();
            assert!(publishing.wait().await.unwrap().success(), "{version} QoS {qos}");

            let mut received = Vec::new();
            while let Some(line) = heard.next_line().await.unwrap() {
                received.push(line);
            }
            assert!(sub.wait().await.unwrap().success());
            assert_eq!(received, lines, "{version} QoS {qos}");
            assert_eq!(*door.0.lock(), lines, "{version} QoS {qos}");
            assert_eq!(broker.stats().acks, if qos == "0" { 0 } else { 200 });
            stop.cancel();
            served.await.unwrap().unwrap();
            assert_eq!(broker.stats().connections, 0);
        }
    }
}

/// A certificate for 127.0.0.1 that lives in `dir`, by the `openssl` program.
async fn certificate(openssl: &str, dir: &std::path::Path) -> tokio_rustls::TlsAcceptor {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let mut command = Command::new(openssl);
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    command.arg("-keyout").arg(&key).arg("-out").arg(&cert);
    assert!(command.output().await.unwrap().status.success());
    let chain = CertificateDer::pem_file_iter(&cert).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()).into()
}

#[tokio::test]
async fn mosquitto_pub_sends_over_tls() {
    let (Some(publisher), Some(openssl)) = (peer_program("mosquitto_pub"), peer_program("openssl")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let tls = certificate(&openssl, dir.path()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let door = Arc::new(Memory::default());
    let broker = Broker::new(BrokerConfig::default(), Arc::clone(&door) as Arc<dyn Door>, Arc::new(TestAccess), Arc::new(SystemClock));
    tokio::spawn(async move { broker.serve(listener, Some(tls), CancellationToken::new()).await });
    let mut publishing =
        client(&publisher, "mqttv5", "1", port).arg("-l").arg("--cafile").arg(dir.path().join("cert.pem")).spawn().unwrap();
    let lines: Vec<String> = (0..500).map(|i| format!("message {i}")).collect();
    publishing.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).await.unwrap();
    assert!(publishing.wait().await.unwrap().success());
    assert_eq!(*door.0.lock(), lines);
}

#[tokio::test]
async fn mosquitto_pub_learns_that_its_password_is_wrong() {
    let Some(publisher) = peer_program("mosquitto_pub") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = Broker::new(BrokerConfig::default(), Arc::<Memory>::default(), Arc::new(TestAccess), Arc::new(SystemClock));
    tokio::spawn({
        let broker = broker.clone();
        async move { broker.serve(listener, None, CancellationToken::new()).await }
    });
    let out = client(&publisher, "mqttv5", "1", port).args(["-P", "wrong", "-m", "x"]).stderr(Stdio::piped()).output().await.unwrap();
    assert!(!out.status.success());
    assert_eq!((broker.stats().refused_logins, broker.stats().messages), (1, 0));
}
