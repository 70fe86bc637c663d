//! XML as a stream of small trees: the elements that a caller names, one after the other, the rest passed by. Memory is that of one element,
//! whatever the size of the file. Namespaces are not resolved: elements and attributes go by their local names.
//!
//! Limits: bytes of one tag or text, depth, nodes and bytes of one tree. A document type is refused, so entities cannot grow.

mod bounded;
mod tree;

use crate::decode::reject::{Reason, Reject};
use bounded::Bounded;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use std::io::BufRead;
pub use tree::{Element, Tree};

/// Bytes of one tag or piece of text; images in messages of signs are the largest.
const EVENT_BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 64;
/// Attributes of the root that are kept.
const ROOT_ATTRIBUTES_MAX: usize = 32;

/// Why a text is not XML that is read here. `at` is a byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {rule}")]
pub struct XmlError {
    pub at: u64,
    pub rule: String,
}

impl From<XmlError> for Reject {
    #[cold]
    fn from(e: XmlError) -> Self {
        Self::new(Reason::NotFormat, format!("not XML that is read here: {e}"))
    }
}

/// Elements of a text, one by one.
#[derive(Debug)]
pub struct Elements<R> {
    reader: Reader<Bounded<R>>,
    buffer: Vec<u8>,
    /// Open elements around the place that was reached.
    depth: usize,
    seen_root: bool,
    root: Vec<(String, String)>,
}

impl<R: BufRead> Elements<R> {
    pub fn new(source: R) -> Self {
        let mut reader = Reader::from_reader(Bounded::new(source, EVENT_BYTES_MAX));
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new(), depth: 0, seen_root: false, root: Vec::new() }
    }

    /// An attribute of the root, known once the first element was given.
    #[must_use]
    pub fn root(&self, name: &str) -> Option<&str> {
        self.root.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The next element that `wanted` accepts (by local name and `type` attribute) is put into `tree`; false at the end of the text.
    ///
    /// # Errors
    /// The text is not well-formed, or one of its parts is over a limit.
    pub fn next(&mut self, tree: &mut Tree, mut wanted: impl FnMut(&str) -> bool) -> Result<bool, XmlError> {
        tree.clear();
        loop {
            self.buffer.clear();
            self.reader.get_mut().allow();
            match self.reader.read_event_into(&mut self.buffer) {
                Ok(Event::Start(start)) => {
                    if self.depth >= DEPTH_MAX {
                        return Err(too_deep(&self.reader));
                    }
                    let name = local(start.name().into_inner()).map_err(|rule| fail(&self.reader, rule))?;
                    if !self.seen_root {
                        self.seen_root = true;
                        let mut root = Vec::new();
                        attributes(&start, |name, value| root.push((name.to_owned(), value.to_owned())))
                            .map_err(|r| fail(&self.reader, r))?;
                        root.truncate(ROOT_ATTRIBUTES_MAX);
                        self.root = root;
                    }
                    if wanted(name) {
                        open(tree, &start).map_err(|rule| fail(&self.reader, rule))?;
                        self.fill(tree)?;
                        return Ok(true);
                    }
                    self.depth += 1;
                }
                Ok(Event::End(_)) => self.depth = self.depth.saturating_sub(1),
                Ok(Event::DocType(_)) => return Err(fail(&self.reader, "a document type is not read here; remove the DOCTYPE")),
                Ok(Event::Eof) if self.depth > 0 => return Err(fail(&self.reader, "the text ends before its elements are closed")),
                Ok(Event::Eof) if !self.seen_root => return Err(fail(&self.reader, "there is no element")),
                Ok(Event::Eof) => return Ok(false),
                Ok(_) => {}
                Err(e) => return Err(syntax(&self.reader, &e)),
            }
        }
    }

    /// Reads until the element that was opened in the tree is closed.
    fn fill(&mut self, tree: &mut Tree) -> Result<(), XmlError> {
        loop {
            self.buffer.clear();
            self.reader.get_mut().allow();
            let event = self.reader.read_event_into(&mut self.buffer).map_err(|e| syntax(&self.reader, &e))?;
            let done: Result<(), &'static str> = match event {
                Event::Start(start) if self.depth + tree.depth() < DEPTH_MAX => open(tree, &start),
                Event::Start(_) => return Err(too_deep(&self.reader)),
                Event::End(_) => {
                    tree.close();
                    if tree.depth() == 0 {
                        return Ok(());
                    }
                    Ok(())
                }
                Event::Text(text) => utf8(&text).and_then(|text| tree.text(text)),
                Event::CData(text) => utf8(&text).and_then(|text| tree.text(text)),
                Event::GeneralRef(name) => entity(&name).and_then(|c| tree.text(c.encode_utf8(&mut [0; 4]))),
                Event::DocType(_) => Err("a document type is not read here; remove the DOCTYPE"),
                Event::Eof => Err("the text ends before its elements are closed"),
                _ => Ok(()),
            };
            done.map_err(|rule| fail(&self.reader, rule))?;
        }
    }
}

/// The whole text as one tree.
///
/// # Errors
/// As [`Elements::next`].
pub fn whole(text: &[u8]) -> Result<Tree, XmlError> {
    let mut elements = Elements::new(text);
    let mut tree = Tree::default();
    elements.next(&mut tree, |_| true)?;
    let mut rest = Tree::default();
    // What follows the root must be nothing but space and comments; the reader finds what is not.
    if elements.next(&mut rest, |_| true)? { Err(fail(&elements.reader, "there is a second root element")) } else { Ok(tree) }
}

fn open(tree: &mut Tree, start: &BytesStart<'_>) -> Result<(), &'static str> {
    tree.open(local(start.name().into_inner())?)?;
    let mut full = Ok(());
    attributes(start, |name, value| {
        if full.is_ok() {
            full = tree.attribute(name, value);
        }
    })?;
    full
}

fn attributes(start: &BytesStart<'_>, mut each: impl FnMut(&str, &str)) -> Result<(), &'static str> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| "an attribute is not name=\"value\", or stands twice")?;
        let raw = attribute.key.into_inner();
        if raw.starts_with(b"xmlns") {
            continue;
        }
        let value = utf8(&attribute.value)?;
        let value = quick_xml::escape::unescape(value).map_err(|_| "an entity in an attribute is unknown")?;
        each(local(raw)?, &value);
    }
    Ok(())
}

/// Predefined entities and characters by number; there are no others without a document type.
fn entity(name: &[u8]) -> Result<char, &'static str> {
    const UNKNOWN: &str = "an entity is unknown; write the character";
    let name = utf8(name)?;
    match name {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => {
            let number = name.strip_prefix('#').ok_or(UNKNOWN)?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            code.ok().and_then(char::from_u32).ok_or(UNKNOWN)
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "not UTF-8; write the file in UTF-8")
}

fn local(name: &[u8]) -> Result<&str, &'static str> {
    let name = utf8(name)?;
    Ok(name.rsplit_once(':').map_or(name, |(_, local)| local))
}

#[cold]
fn fail<R: BufRead>(reader: &Reader<Bounded<R>>, rule: impl Into<String>) -> XmlError {
    XmlError { at: reader.buffer_position(), rule: rule.into() }
}

#[cold]
fn too_deep<R: BufRead>(reader: &Reader<Bounded<R>>) -> XmlError {
    fail(reader, format!("more than {DEPTH_MAX} elements inside each other"))
}

/// The kind of the error only: what stood there may be what must not be kept.
#[cold]
fn syntax<R: BufRead>(reader: &Reader<Bounded<R>>, e: &quick_xml::Error) -> XmlError {
    let rule = match e {
        quick_xml::Error::Io(e) => format!("the text cannot be read: {e}"),
        quick_xml::Error::IllFormed(_) => "an element is closed that is not open, or the other way round".to_owned(),
        quick_xml::Error::InvalidAttr(_) => "an attribute is not name=\"value\", or stands twice".to_owned(),
        _ => "the syntax of XML is broken".to_owned(),
    };
    XmlError { at: reader.error_position(), rule }
}

#[cfg(test)]
mod tests;
