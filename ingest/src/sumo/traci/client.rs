//! One connection to a simulation.

use super::{
    Domain,
    value::{self, Malformed, Reader, Value},
};
use crate::IngestError;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// Largest answer. One step of a city with 10,000 subscribed objects has 2 MB.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

const GET_VERSION: u8 = 0x00;
const STEP: u8 = 0x02;
const SET_ORDER: u8 = 0x03;
const CLOSE: u8 = 0x7f;

/// What the simulator says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub api: i32,
    pub text: String,
}

/// One object of a subscription, after a step. A variable that could not be read is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub domain: Domain,
    pub object: String,
    pub values: Vec<(u8, Value)>,
}

impl Observed {
    #[must_use]
    pub fn get(&self, variable: u8) -> Option<&Value> {
        self.values.iter().find(|(v, _)| *v == variable).map(|(_, value)| value)
    }
}

/// A connection. After an error other than a refused command it is of no more use.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    message: Vec<u8>,
    /// Longest wait for one answer: one simulated step of a large network may take seconds.
    timeout: Duration,
}

fn broken(e: Malformed) -> IngestError {
    IngestError::Invalid(format!("TraCI: {e}; is this SUMO?"))
}

fn lost(e: &std::io::Error) -> IngestError {
    IngestError::Unavailable { what: "TraCI".into(), message: format!("the simulation ended the connection: {e}") }
}

impl Client<TcpStream> {
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(place: SocketAddr, timeout: Duration) -> Result<Self, IngestError> {
        let failed = |e: std::io::Error| IngestError::Unavailable { what: format!("TraCI at {place}"), message: e.to_string() };
        let stream = TcpStream::connect(place).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self::over(stream, timeout))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub const fn over(stream: S, timeout: Duration) -> Self {
        Self { stream, message: Vec::new(), timeout }
    }

    /// # Errors
    /// As [`Self::get`]; a version of the interface that is too old.
    pub async fn version(&mut self) -> Result<Version, IngestError> {
        const API_MIN: i32 = 20;
        let mut answer = self.ask(GET_VERSION, &[]).await?;
        let read = |r: &mut Reader<'_>| {
            let (_, mut content) = r.command()?;
            Ok(Version { api: content.i32()?, text: content.text()? })
        };
        let version = read(&mut answer).map_err(broken)?;
        if version.api < API_MIN {
            let (api, text) = (version.api, version.text);
            return Err(IngestError::Invalid(format!("{text} speaks TraCI {api}; SUMO 1.4 or newer speaks {API_MIN} or more")));
        }
        Ok(version)
    }

    /// Which of several clients goes first; SUMO waits for it when it was started for more than one.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn set_order(&mut self, order: i32) -> Result<(), IngestError> {
        self.ask(SET_ORDER, &order.to_be_bytes()).await.map(drop)
    }

    /// One step; what was subscribed to, after it.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn step(&mut self) -> Result<Vec<Observed>, IngestError> {
        let mut answer = self.ask(STEP, &0f64.to_be_bytes()).await?;
        observed(&mut answer).map_err(broken)
    }

    /// One variable of one object.
    ///
    /// # Errors
    /// SUMO refuses (its reason is in the text), the connection ends or stands still, or the answer is not TraCI.
    pub async fn get(&mut self, domain: Domain, variable: u8, object: &str) -> Result<Value, IngestError> {
        let mut answer = self.ask(domain.get(), &value::about(variable, object)).await?;
        let read = |r: &mut Reader<'_>| {
            let (id, mut content) = r.command()?;
            if id != domain.answer() || content.u8()? != variable {
                return Err(Malformed("the answer is about something else"));
            }
            content.text()?;
            content.value()
        };
        read(&mut answer).map_err(broken)
    }

    /// # Errors
    /// As [`Self::get`].
    pub async fn set(&mut self, domain: Domain, variable: u8, object: &str, value: &Value) -> Result<(), IngestError> {
        let mut content = value::about(variable, object);
        value.put(&mut content);
        self.ask(domain.set(), &content).await.map(drop)
    }

    /// The variables come with every step from now on.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn subscribe(&mut self, domain: Domain, object: &str, variables: &[u8]) -> Result<(), IngestError> {
        self.ask(domain.subscribe(), &value::subscription(object, variables)).await.map(drop)
    }

    /// Ends the simulation, as far as it still listens.
    pub async fn close(mut self) {
        self.ask(CLOSE, &[]).await.ok();
    }

    /// Sends one command, and returns what follows its positive status.
    async fn ask(&mut self, id: u8, content: &[u8]) -> Result<Reader<'_>, IngestError> {
        let mut out = vec![0; 4];
        value::put_command(&mut out, id, content);
        let length = u32::try_from(out.len()).map_err(|_| IngestError::Invalid("a command is too long for TraCI".into()))?;
        out[..4].copy_from_slice(&length.to_be_bytes());
        let exchange = async {
            self.stream.write_all(&out).await?;
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).await?;
            let length = u32::from_be_bytes(head) as usize;
            let Some(rest) = length.checked_sub(4).filter(|n| *n <= MESSAGE_BYTES_MAX) else { return Ok(false) };
            // Read as it comes: a length that lies must not make memory.
            self.message.clear();
            let n = (&mut self.stream).take(rest as u64).read_to_end(&mut self.message).await?;
            if n == rest { Ok(true) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Err(_) => {
                let message = format!("no answer within {} s", self.timeout.as_secs());
                return Err(IngestError::Unavailable { what: "TraCI".into(), message });
            }
            Ok(Err(e)) => return Err(lost(&e)),
            Ok(Ok(false)) => return Err(broken(Malformed("a message has an impossible length"))),
            Ok(Ok(true)) => {}
        }
        let mut reader = Reader::new(&self.message);
        status(&mut reader, id).map_err(broken)?.map_err(IngestError::Invalid)?;
        Ok(reader)
    }
}

/// `Ok(Err(_))` when the command was refused.
fn status(reader: &mut Reader<'_>, sent: u8) -> Result<Result<(), String>, Malformed> {
    let (id, mut content) = reader.command()?;
    if id != sent {
        return Err(Malformed("the status is of another command"));
    }
    let (result, text) = (content.u8()?, content.text()?);
    Ok(if result == 0 { Ok(()) } else { Err(format!("SUMO refused command {sent:#04x}: {text}")) })
}

pub(super) fn observed(reader: &mut Reader<'_>) -> Result<Vec<Observed>, Malformed> {
    let n = reader.count(2)?;
    let mut out = Vec::new();
    for _ in 0..n {
        let (id, mut content) = reader.command()?;
        let Some(domain) = Domain::observed(id) else { continue };
        let object = content.text()?;
        let mut values = Vec::new();
        for _ in 0..content.u8()? {
            let (variable, failed) = (content.u8()?, content.u8()? != 0);
            let value = content.value()?;
            if !failed {
                values.push((variable, value));
            }
        }
        out.push(Observed { domain, object, values });
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
