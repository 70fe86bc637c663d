//! What SUMO's detectors write to their socket, as it is written: intervals into messages.

use crate::publish::Publisher;
use anyhow::{Context as _, Result};
use ingest::sumo::{
    intervals::{Flaw, Interval, Intervals},
    messages::Loops,
};
use std::{
    fs::File,
    io::{BufReader, Read, Write as _},
    path::PathBuf,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Intervals that wait to be published; SUMO waits with its next step when there are more.
const WAITING_MAX: usize = 10_000;

/// What came and went.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Fed {
    pub(super) intervals: u64,
    pub(super) messages: u64,
    pub(super) flaws: u64,
}

type Heard = Result<Interval, Flaw>;

/// Until the simulator closes its output; everything is acknowledged then. A simulation that has `ended` without ever opening one has
/// no detectors, or they write to files.
pub(super) async fn run(
    listener: TcpListener,
    mut loops: Loops,
    mut publisher: Publisher,
    copy: Option<PathBuf>,
    ended: CancellationToken,
) -> Result<Fed> {
    let (socket, _) = tokio::select! {
        biased;
        accepted = listener.accept() => accepted?,
        () = ended.cancelled() => {
            tracing::warn!("no detector has written anything: the scenario has none, or they write to files");
            return Ok(Fed::default());
        }
    };
    drop(listener);
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    let copy = copy.map(|path| File::create(&path).with_context(|| path.display().to_string())).transpose()?;
    let (tell, mut told) = mpsc::channel(WAITING_MAX);
    let reader = tokio::task::spawn_blocking(move || read(Copied { socket, copy }, &tell));
    let mut fed = Fed::default();
    while let Some(heard) = told.recv().await {
        match heard {
            Ok(interval) => {
                fed.intervals += 1;
                for message in loops.take(&interval) {
                    send(&mut publisher, message, &mut fed).await?;
                }
            }
            Err(flaw) => {
                fed.flaws += 1;
                tracing::warn!(detector = flaw.detector, field = flaw.field, rule = flaw.rule, "an interval of a detector cannot be used");
            }
        }
    }
    for message in loops.finish() {
        send(&mut publisher, message, &mut fed).await?;
    }
    reader.await??;
    publisher.finish().await?;
    Ok(fed)
}

async fn send(publisher: &mut Publisher, message: ingest::RawMessage, fed: &mut Fed) -> Result<()> {
    fed.messages += 1;
    publisher.publish(std::str::from_utf8(&message.topic)?, message.payload.to_vec()).await
}

fn read(source: impl Read, tell: &mpsc::Sender<Heard>) -> Result<()> {
    let mut intervals = Intervals::new(BufReader::new(source));
    while let Some(heard) = intervals.next().context("output of SUMO's detectors")? {
        if tell.blocking_send(heard).is_err() {
            break;
        }
    }
    Ok(())
}

/// A socket whose bytes are kept as they came.
struct Copied {
    socket: std::net::TcpStream,
    copy: Option<File>,
}

impl Read for Copied {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.socket.read(buffer)?;
        if let Some(copy) = &mut self.copy {
            copy.write_all(&buffer[..n])?;
        }
        Ok(n)
    }
}
