//! A client of the wire that knows only what a test needs. Real clients are run by the workspace's integration tests.

use super::*;
use crate::{
    Limits,
    testing::{self, Users},
};
use schemas::ManualClock;
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct Server {
    lake: Lakehouse,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), LakehouseError>>,
    _dir: tempfile::TempDir,
}

async fn server(config: DoorConfig) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let contracts = testing::contracts(&["value"]);
    let lake = Lakehouse::open(testing::config(dir.path()), contracts, Arc::new(ManualClock::at(testing::NOW))).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (serving, token) = (lake.clone(), stop.clone());
    let task = tokio::spawn(async move { serving.serve_postgres(listener, Arc::new(Users), config, token).await });
    Server { lake, address, stop, task, _dir: dir }
}

impl Server {
    async fn add(&self, rows: &[testing::TestRow]) {
        let frame = testing::frame(&self.lake.contracts, rows);
        self.lake.append(frame).await.unwrap().await.unwrap();
    }
}

/// What the server said until it was ready, or until it hung up.
#[derive(Debug, Default)]
struct Answer {
    rows: Vec<Vec<Option<String>>>,
    tags: Vec<String>,
    /// Fields of an error by their letter: `C` SQLSTATE, `M` message, `H` hint, `P` position.
    error: BTreeMap<char, String>,
    key: Option<Vec<u8>>,
    state: u8,
}

struct Client(TcpStream);

impl Client {
    async fn connect(server: &Server, user: &str, password: &str) -> (Self, Answer) {
        let mut out = Self(TcpStream::connect(server.address).await.unwrap());
        let mut body = 196_608i32.to_be_bytes().to_vec();
        body.extend(format!("user\0{user}\0database\0portico\0\0").bytes());
        let mut message = (body.len() as i32 + 4).to_be_bytes().to_vec();
        message.extend(body);
        out.0.write_all(&message).await.unwrap();
        out.send(b'p', format!("{password}\0").as_bytes()).await;
        let answer = out.answer().await;
        (out, answer)
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut message = vec![kind];
        message.extend((body.len() as i32 + 4).to_be_bytes());
        message.extend(body);
        self.0.write_all(&message).await.unwrap();
    }

    async fn ask(&mut self, sql: &str) -> Answer {
        self.send(b'Q', format!("{sql}\0").as_bytes()).await;
        self.answer().await
    }

    /// Parse, bind with text parameters, execute, sync.
    async fn prepared(&mut self, sql: &str, values: &[&str]) -> Answer {
        self.send(b'P', format!("\0{sql}\0\0\0").as_bytes()).await;
        let mut bind = vec![0, 0, 0, 0];
        bind.extend((values.len() as i16).to_be_bytes());
        for v in values {
            bind.extend((v.len() as i32).to_be_bytes());
            bind.extend(v.bytes());
        }
        bind.extend(0i16.to_be_bytes());
        self.send(b'B', &bind).await;
        self.send(b'E', &[0, 0, 0, 0, 0]).await;
        self.send(b'S', &[]).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Answer {
        let read = async {
            let mut out = Answer::default();
            while out.state == 0 {
                let Ok(kind) = self.0.read_u8().await else { break };
                let length = self.0.read_i32().await.unwrap() - 4;
                let mut body = vec![0; length as usize];
                self.0.read_exact(&mut body).await.unwrap();
                note(&mut out, kind, &body);
            }
            out
        };
        tokio::time::timeout(Duration::from_secs(60), read).await.expect("the server answers")
    }
}

fn note(out: &mut Answer, kind: u8, body: &[u8]) {
    let int = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    match kind {
        b'D' => {
            let (mut at, mut row) = (2, Vec::new());
            while at < body.len() {
                let length = int(at);
                at += 4;
                row.push(usize::try_from(length).ok().map(|n| String::from_utf8_lossy(&body[at..at + n]).into_owned()));
                at += usize::try_from(length).unwrap_or(0);
            }
            out.rows.push(row);
        }
        b'C' => out.tags.push(String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()),
        b'E' => {
            for field in String::from_utf8_lossy(body).split('\0').filter(|f| !f.is_empty()) {
                out.error.insert(field.chars().next().unwrap(), field[1..].to_owned());
            }
        }
        b'K' => out.key = Some(body.to_vec()),
        b'Z' => out.state = body[0],
        _ => {}
    }
}

fn cells(answer: &Answer) -> Vec<String> {
    assert!(answer.error.is_empty(), "{:?}", answer.error);
    answer.rows.iter().map(|r| r.iter().map(|c| c.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_connection_sees_fresh_rows() {
    let server = server(DoorConfig::default()).await;
    let (mut client, hello) = Client::connect(&server, "root", "right").await;
    assert_eq!(hello.state, b'I', "{hello:?}");
    server.add(&[(1, 0, 10)]).await;
    assert_eq!(cells(&client.ask("SELECT count(*) FROM bologna.level").await), ["1"]);
    server.add(&[(1, 1, 11), (4, 2, 12)]).await;
    let all = client.ask("SELECT entity_id, observed_at, value, h3 IS NULL FROM bologna.level ORDER BY observed_at").await;
    assert_eq!(all.tags, ["SELECT 3"]);
    assert!(cells(&all)[2].starts_with("urn:ngsi-ld:L:bologna:4|2026-01-01 00:02:00"), "{all:?}");
    server.stop.cancel();
    server.task.await.unwrap().unwrap();
    assert!(client.0.read_u8().await.is_err(), "the connection was closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_transactions_work() {
    let server = server(DoorConfig::default()).await;
    server.add(&[(1, 0, 10), (2, 0, 20), (3, 0, 30)]).await;
    let (mut client, _) = Client::connect(&server, "root", "right").await;
    let found = client
        .prepared("SELECT value FROM level WHERE value > $1 AND entity_id <> $2 ORDER BY value", &["10.5", "urn:ngsi-ld:L:bologna:3"])
        .await;
    assert_eq!(cells(&found), ["20.0"]);
    let past = client.prepared("SELECT count(*) FROM level WHERE observed_at < $1", &["2026-01-01 00:00:01+00"]).await;
    assert_eq!(cells(&past), ["3"]);
    assert_eq!(client.ask("BEGIN").await.state, b'T');
    assert_eq!(client.ask("SELECT nothing FROM level").await.state, b'E');
    assert_eq!(client.ask("SELECT 1").await.error[&'C'], "25P02");
    assert_eq!(client.ask("ROLLBACK").await.state, b'I');
    assert_eq!(cells(&client.ask("SHOW transaction isolation level").await), ["read committed"]);
    assert_eq!(cells(&client.ask("SELECT current_schema(), current_database()").await), ["bologna|portico"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_a_state_a_place_and_a_hint() {
    let server = server(DoorConfig::default()).await;
    server.add(&[(1, 0, 10)]).await;
    let (mut client, _) = Client::connect(&server, "root", "right").await;
    for (sql, code, place) in [
        ("SELECT\n valeu FROM level", "42703", Some("9")),
        ("SELECT * FROM levle", "42P01", Some("15")),
        ("SELECT nosuch(1)", "42883", Some("8")),
        ("SELEC 1", "42601", Some("1")),
        ("DELETE FROM level", "25006", None),
        ("SHOW nothing_like_it", "42704", None),
    ] {
        let answer = client.ask(sql).await;
        assert_eq!(answer.error.get(&'C').map(String::as_str), Some(code), "{sql}: {answer:?}");
        assert_eq!(answer.error.get(&'P').map(String::as_str), place, "{sql}: {answer:?}");
    }
    let hint = client.prepared("SELECT valeu FROM level", &[]).await;
    assert_eq!(hint.error[&'H'], "did you mean 'value'?");
    assert_eq!(cells(&client.ask("SELECT 1").await), ["1"], "the connection lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_connect_does_not() {
    let server = server(DoorConfig { connections_max: 1, ..DoorConfig::default() }).await;
    let (_, wrong) = Client::connect(&server, "root", "wrong").await;
    assert_eq!(wrong.error[&'C'], "28P01");
    server.add(&[(1, 0, 10)]).await;
    // The refused connection gives its place back when its task ends.
    let (mut first, hello) = loop {
        let (client, hello) = Client::connect(&server, "imola", "right").await;
        if hello.error.get(&'C').is_none_or(|c| c != "53300") {
            break (client, hello);
        }
    };
    assert_eq!(hello.state, b'I');
    let (_, second) = Client::connect(&server, "root", "right").await;
    assert_eq!(second.error[&'C'], "53300");
    assert_eq!(first.ask("SELECT * FROM bologna.level").await.error[&'C'], "42P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_can_be_cancelled_and_timed_out() {
    let limits = Limits { rows_max: usize::MAX, ..Limits::default() };
    let server = server(DoorConfig { limits, ..DoorConfig::default() }).await;
    let (mut client, hello) = Client::connect(&server, "root", "right").await;
    let heavy = "SELECT count(*) FROM generate_series(1, 1000000000000) a(x) WHERE x % 7 = 9";
    client.ask("SET statement_timeout = '300ms'").await;
    let late = client.ask(heavy).await;
    assert_eq!(late.error[&'C'], "57014");
    assert!(late.error[&'M'].contains("300 ms"), "{late:?}");
    client.ask("SET statement_timeout = 0").await;
    client.send(b'Q', b"SELECT x FROM generate_series(1, 1000000000000) a(x)\0").await;
    // The first rows are on their way: the statement runs.
    assert_eq!(client.0.read_u8().await.unwrap(), b'T');
    let length = client.0.read_i32().await.unwrap() - 4;
    let mut rest = vec![0; length as usize];
    client.0.read_exact(&mut rest).await.unwrap();
    let mut cancel = TcpStream::connect(server.address).await.unwrap();
    let mut message = 16i32.to_be_bytes().to_vec();
    message.extend(80_877_102i32.to_be_bytes());
    message.extend(hello.key.unwrap());
    cancel.write_all(&message).await.unwrap();
    let stopped = client.answer().await;
    assert_eq!(stopped.error[&'C'], "57014");
    assert_eq!(cells(&client.ask("SELECT 1").await), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_give_rows_in_pieces() {
    let server = server(DoorConfig::default()).await;
    server.add(&[(1, 0, 10), (2, 0, 20), (3, 0, 30)]).await;
    let (mut client, _) = Client::connect(&server, "root", "right").await;
    let declare = "DECLARE some CURSOR FOR SELECT value FROM level ORDER BY value";
    assert_eq!(client.ask(declare).await.error[&'C'], "25P01");
    client.ask("BEGIN").await;
    assert_eq!(client.ask(declare).await.tags, ["DECLARE CURSOR"]);
    server.add(&[(4, 0, 40)]).await;
    assert_eq!(cells(&client.ask("FETCH FORWARD 2 FROM some").await), ["10.0", "20.0"]);
    let rest = client.ask("FETCH ALL FROM some").await;
    assert_eq!((cells(&rest), rest.tags.clone()), (vec!["30.0".to_owned()], vec!["FETCH 1".to_owned()]), "one state of the tables");
    assert_eq!(cells(&client.ask("FETCH NEXT FROM some").await), Vec::<String>::new());
    assert_eq!(client.ask(declare).await.error[&'C'], "42P03");
    client.ask("ROLLBACK").await;
    assert_eq!(client.ask("FETCH 1 FROM some").await.error[&'C'], "34000", "it ended with its transaction");
    client.ask("DECLARE kept CURSOR WITH HOLD FOR SELECT x FROM generate_series(1, 1000000000000) a(x)").await;
    assert_eq!(cells(&client.ask("FETCH 2 FROM kept").await), ["1", "2"]);
    assert_eq!(client.ask("FETCH PRIOR FROM kept").await.error[&'C'], "0A000");
    assert_eq!(client.ask("CLOSE kept").await.tags, ["CLOSE CURSOR"]);
    let wrong = client.prepared("DECLARE bad CURSOR WITH HOLD FOR SELECT valeu FROM level WHERE value > $1", &["1"]).await;
    assert_eq!(wrong.error[&'C'], "42703");
    let bound = client.prepared("DECLARE good CURSOR WITH HOLD FOR SELECT value FROM level WHERE value > $1 ORDER BY 1", &["15"]).await;
    assert_eq!(bound.tags, ["DECLARE CURSOR"], "{bound:?}");
    assert_eq!(cells(&client.prepared("FETCH 2 FROM good", &[]).await), ["20.0", "30.0"]);
    assert_eq!(client.ask("DELETE FROM level").await.error[&'C'], "25006");
}
