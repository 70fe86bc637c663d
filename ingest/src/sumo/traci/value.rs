//! Bytes of TraCI: values with their types, read within bounds.

/// Lists and compounds inside each other.
const DEPTH_MAX: usize = 8;

/// A typed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    UByte(u8),
    Byte(i8),
    Int(i32),
    Double(f64),
    Text(String),
    Texts(Vec<String>),
    Doubles(Vec<f64>),
    /// Two or three coordinates.
    Position(Vec<f64>),
    Polygon(Vec<[f64; 2]>),
    Color([u8; 4]),
    Compound(Vec<Value>),
}

/// The bytes are not TraCI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Reads from the front of a message.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, n: usize) -> Result<&'b [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed("the message ends inside a value"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.try_into().map_err(|_| Malformed("the message ends inside a value"))
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn f64(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// A count of things of at least `each` bytes, which the rest of the message must be able to hold.
    pub fn count(&mut self, each: usize) -> Result<usize, Malformed> {
        let n = usize::try_from(self.i32()?).map_err(|_| Malformed("a negative count"))?;
        if n.saturating_mul(each) > self.0.len() { Err(Malformed("a count is larger than its message")) } else { Ok(n) }
    }

    pub fn text(&mut self) -> Result<String, Malformed> {
        let n = self.count(1)?;
        // SUMO writes the bytes of its files; a file in another encoding is no reason to end a simulation.
        Ok(String::from_utf8_lossy(self.bytes(n)?).into_owned())
    }

    /// The content of the next command, behind its length and identifier.
    pub fn command(&mut self) -> Result<(u8, Reader<'b>), Malformed> {
        let short = usize::from(self.u8()?);
        let (length, header) =
            if short == 0 { (usize::try_from(self.i32()?).map_err(|_| Malformed("a negative length"))?, 6) } else { (short, 2) };
        let id = self.u8()?;
        let content = length.checked_sub(header).ok_or(Malformed("a command is shorter than its header"))?;
        Ok((id, Reader(self.bytes(content)?)))
    }

    /// A value with its type in front.
    pub fn value(&mut self) -> Result<Value, Malformed> {
        self.nested(DEPTH_MAX)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, Malformed> {
        Ok(match self.u8()? {
            0x00 | 0x01 => Value::Position(vec![self.f64()?, self.f64()?]),
            0x02 | 0x03 => Value::Position(vec![self.f64()?, self.f64()?, self.f64()?]),
            0x06 => {
                let short = usize::from(self.u8()?);
                let n = if short == 0 { self.count(16)? } else { short };
                Value::Polygon((0..n).map(|_| Ok([self.f64()?, self.f64()?])).collect::<Result<_, _>>()?)
            }
            0x07 => Value::UByte(self.u8()?),
            0x08 => Value::Byte(i8::from_be_bytes(self.array()?)),
            0x09 => Value::Int(self.i32()?),
            0x0b => Value::Double(self.f64()?),
            0x0c => Value::Text(self.text()?),
            0x0e => {
                let n = self.count(4)?;
                Value::Texts((0..n).map(|_| self.text()).collect::<Result<_, _>>()?)
            }
            0x0f => {
                let depth = depth.checked_sub(1).ok_or(Malformed("compounds are nested too deep"))?;
                let n = self.count(1)?;
                // Grown as values come: a count may be a lie up to the size of the message.
                let mut list = Vec::new();
                for _ in 0..n {
                    list.push(self.nested(depth)?);
                }
                Value::Compound(list)
            }
            0x10 => {
                let n = self.count(8)?;
                Value::Doubles((0..n).map(|_| self.f64()).collect::<Result<_, _>>()?)
            }
            0x11 => Value::Color(self.array()?),
            _ => return Err(Malformed("a type of value that is not known here")),
        })
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(text.as_bytes());
}

fn put_count(out: &mut Vec<u8>, n: usize) {
    out.extend(i32::try_from(n).unwrap_or(i32::MAX).to_be_bytes());
}

impl Value {
    /// Appends type and value.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::UByte(v) => out.extend([0x07, *v]),
            Self::Byte(v) => out.extend([0x08, v.to_be_bytes()[0]]),
            Self::Int(v) => {
                out.push(0x09);
                out.extend(v.to_be_bytes());
            }
            Self::Double(v) => {
                out.push(0x0b);
                out.extend(v.to_be_bytes());
            }
            Self::Text(text) => {
                out.push(0x0c);
                put_text(out, text);
            }
            Self::Texts(list) => {
                out.push(0x0e);
                put_count(out, list.len());
                list.iter().for_each(|t| put_text(out, t));
            }
            Self::Doubles(list) => {
                out.push(0x10);
                put_count(out, list.len());
                list.iter().for_each(|v| out.extend(v.to_be_bytes()));
            }
            Self::Position(xyz) => {
                out.push(if xyz.len() == 2 { 0x01 } else { 0x03 });
                xyz.iter().for_each(|v| out.extend(v.to_be_bytes()));
            }
            Self::Polygon(list) => {
                out.extend([0x06, 0]);
                put_count(out, list.len());
                list.iter().flatten().for_each(|v| out.extend(v.to_be_bytes()));
            }
            Self::Color(rgba) => {
                out.push(0x11);
                out.extend(rgba);
            }
            Self::Compound(list) => {
                out.push(0x0f);
                put_count(out, list.len());
                list.iter().for_each(|v| v.put(out));
            }
        }
    }

    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    #[must_use]
    pub const fn as_int(&self) -> Option<i32> {
        match self {
            Self::Int(v) => Some(*v),
            Self::UByte(v) => Some(*v as i32),
            Self::Byte(v) => Some(*v as i32),
            _ => None,
        }
    }

    #[must_use]
    pub const fn as_double(&self) -> Option<f64> {
        match self {
            Self::Double(v) => Some(*v),
            Self::Int(v) => Some(*v as f64),
            _ => None,
        }
    }
}

/// Appends one command with its length: the short form when it fits.
pub fn put_command(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    match u8::try_from(content.len() + 2) {
        Ok(length) => out.extend([length, id]),
        Err(_) => {
            out.push(0);
            put_count(out, content.len() + 6);
            out.push(id);
        }
    }
    out.extend_from_slice(content);
}

/// Variable and object, as commands that get and set have them in front.
#[must_use]
pub fn about(variable: u8, object: &str) -> Vec<u8> {
    let mut out = vec![variable];
    put_text(&mut out, object);
    out
}

/// The content of a subscription from now to the end of the simulation.
#[must_use]
pub fn subscription(object: &str, variables: &[u8]) -> Vec<u8> {
    const FOREVER: f64 = -1_073_741_824.0;
    let mut out = Vec::new();
    out.extend(FOREVER.to_be_bytes());
    out.extend(FOREVER.to_be_bytes());
    put_text(&mut out, object);
    out.push(u8::try_from(variables.len()).unwrap_or(u8::MAX));
    out.extend(variables.iter().take(usize::from(u8::MAX)));
    out
}
