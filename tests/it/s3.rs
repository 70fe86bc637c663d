//! Tables in an S3 server: the log is local, everything committed is in the bucket, a kill between the two loses nothing.

use anyhow::{Context as _, Result, ensure};
use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tests::{
    Portico,
    mqtt::{Numbered, Publisher},
    peers,
    portico::PASSWORD,
};

/// Longest wait for the S3 server, and for a commit of hot rows.
const WAIT_MAX: Duration = Duration::from_secs(60);

const BUCKET: &str = r#"
import sys, boto3
boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s").create_bucket(Bucket="city")
"#;

/// The same conditional write twice: a server that takes the second would lose commits.
const CONDITIONAL: &str = r#"
import sys, boto3, botocore
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
s3.put_object(Bucket="city", Key="probe", Body=b"1", IfNoneMatch="*")
try:
    s3.put_object(Bucket="city", Key="probe", Body=b"2", IfNoneMatch="*")
    print("overwritten")
except botocore.exceptions.ClientError as e:
    print(e.response["ResponseMetadata"]["HTTPStatusCode"])
"#;

const READ: &str = r#"
import sys
from deltalake import DeltaTable
options = {"AWS_ENDPOINT_URL": sys.argv[1], "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
table = DeltaTable("s3://city/lake/bologna/noise", storage_options=options).to_pyarrow_table(columns=["laeq"])
print(table.num_rows, int(sum(table["laeq"].to_pylist())))
"#;

struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    fn start() -> Result<Option<Self>> {
        let Some(python) = peers::python_program() else { return Ok(None) };
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("moto's server")?;
        let moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(start.elapsed() < WAIT_MAX, "moto's server does not listen");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(Some(moto))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn messages(from: u64, n: u64) -> Vec<Numbered> {
    (from..from + n)
        .map(|id| Numbered {
            id,
            topic: format!("portico/bologna/noise/r{}", id % 40),
            payload: format!(r#"{{"observed_at":{},"period":"PT1S","laeq":{}}}"#, 1_760_000_000 + id, 30 + id % 70),
        })
        .collect()
}

#[test]
fn tables_live_in_a_bucket_and_a_kill_loses_nothing() -> Result<()> {
    let Some(moto) = Moto::start()? else { return Ok(()) };
    peers::python(BUCKET, &[&moto.url])?;
    let said = peers::python(CONDITIONAL, &[&moto.url])?.unwrap_or_default();
    ensure!(said.trim() == "412", "the S3 server must honour If-None-Match, it says {said}");
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    for (name, value) in [
        ("PORTICO_DATA_STORE", "s3://city/lake"),
        ("PORTICO_LAKE_FLUSH_SECS", "1"),
        ("AWS_ENDPOINT", &moto.url),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_REGION", "us-east-1"),
    ] {
        portico.set(name, value);
    }
    portico.start()?;
    let n = 4_000;
    for round in 0..4 {
        let mut publisher = Publisher::connect(&portico.mqtt, &format!("writer-{round}"), "gate", PASSWORD)?;
        publisher.send(&messages(round * n, n))?;
        publisher.settle(0)?;
        if round < 3 {
            portico.kill()?;
            portico.start()?;
        }
    }
    let (rows, sum) = (4 * n, (0..4 * n).map(|id| 30 + id % 70).sum::<u64>());
    let seen = portico.sql("SELECT count(*) AS n, CAST(sum(laeq) AS BIGINT) AS total FROM noise")?;
    ensure!(seen[0].to_string().contains(&rows.to_string()) && seen[0].to_string().contains(&sum.to_string()), "{seen:?}");
    portico.stop()?;
    ensure!(!dir.path().join("data/tables/bologna/noise").exists(), "rows are on the local disk too");
    let read = peers::python(READ, &[&moto.url])?.unwrap_or_default();
    ensure!(read.trim() == format!("{rows} {sum}"), "deltalake sees {read}, not {rows} {sum}");
    Ok(())
}
