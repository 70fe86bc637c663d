//! One element with everything in it, in two buffers that are used again for the next.

/// Nodes of one tree.
const NODES_MAX: usize = 200_000;
/// Text, names and attributes of one tree.
const TEXT_BYTES_MAX: usize = 8 << 20;
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone)]
struct Node {
    name: Span,
    /// Range of [`Tree::attributes`].
    attributes: Span,
    /// What stands before the first child.
    text: Span,
    first_child: u32,
    last_child: u32,
    next: u32,
}

/// The tree; empty before the first element.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    attributes: Vec<(Span, Span)>,
    text: String,
    open: Vec<u32>,
}

impl Tree {
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.attributes.clear();
        self.text.clear();
        self.open.clear();
    }

    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    fn span(&mut self, text: &str) -> Result<Span, &'static str> {
        let start = self.text.len();
        if start + text.len() > TEXT_BYTES_MAX {
            return Err("one record has more than 8 MiB of text");
        }
        self.text.push_str(text);
        Ok(Span { start: start as u32, end: (start + text.len()) as u32 })
    }

    pub(super) fn open(&mut self, name: &str) -> Result<(), &'static str> {
        if self.nodes.len() >= NODES_MAX {
            return Err("one record has more than 200000 elements");
        }
        let at = self.nodes.len() as u32;
        let name = self.span(name)?;
        let here = self.attributes.len() as u32;
        let (attributes, text) = (Span { start: here, end: here }, Span { start: 0, end: 0 });
        self.nodes.push(Node { name, attributes, text, first_child: NONE, last_child: NONE, next: NONE });
        if let Some(parent) = self.open.last().copied() {
            let last = std::mem::replace(&mut self.nodes[parent as usize].last_child, at);
            match last {
                NONE => self.nodes[parent as usize].first_child = at,
                last => self.nodes[last as usize].next = at,
            }
        }
        self.open.push(at);
        Ok(())
    }

    /// Of the element opened last.
    pub(super) fn attribute(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let pair = (self.span(name)?, self.span(value)?);
        self.attributes.push(pair);
        if let Some(node) = self.nodes.last_mut() {
            node.attributes.end = self.attributes.len() as u32;
        }
        Ok(())
    }

    /// Text between children is not kept: no format that is read here has any.
    pub(super) fn text(&mut self, text: &str) -> Result<(), &'static str> {
        let Some(at) = self.open.last().map(|at| *at as usize) else { return Ok(()) };
        if self.nodes[at].first_child != NONE {
            return Ok(());
        }
        let added = self.span(text)?;
        let node = &mut self.nodes[at];
        // Pieces of one text follow each other, because nothing else was written between them.
        node.text = if node.text.end == added.start { Span { start: node.text.start, end: added.end } } else { added };
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    /// The element that was read.
    #[must_use]
    pub fn root(&self) -> Element<'_> {
        Element { tree: self, at: 0 }
    }

    fn get(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }
}

/// An element of a tree.
#[derive(Debug, Clone, Copy)]
pub struct Element<'t> {
    tree: &'t Tree,
    at: u32,
}

impl<'t> Element<'t> {
    fn node(self) -> Option<&'t Node> {
        self.tree.nodes.get(self.at as usize)
    }

    #[must_use]
    pub fn name(self) -> &'t str {
        self.node().map_or("", |n| self.tree.get(n.name))
    }

    /// Without the space around it; empty when there is none.
    #[must_use]
    pub fn text(self) -> &'t str {
        self.node().map_or("", |n| self.tree.get(n.text)).trim()
    }

    #[must_use]
    pub fn attribute(self, name: &str) -> Option<&'t str> {
        let span = self.node()?.attributes;
        let list = &self.tree.attributes[span.start as usize..span.end as usize];
        list.iter().find(|(n, _)| self.tree.get(*n) == name).map(|(_, v)| self.tree.get(*v))
    }

    pub fn children(self) -> impl Iterator<Item = Self> {
        let element = move |at: u32| (at != NONE).then_some(Self { tree: self.tree, at });
        let first = self.node().and_then(|n| element(n.first_child));
        std::iter::successors(first, move |e| e.node().and_then(|n| element(n.next)))
    }

    /// Children of that name.
    pub fn all(self, name: &str) -> impl Iterator<Item = Self> {
        self.children().filter(move |c| c.name() == name)
    }

    #[must_use]
    pub fn child(self, name: &str) -> Option<Self> {
        self.children().find(|c| c.name() == name)
    }

    /// A child of a child of …
    #[must_use]
    pub fn path(self, names: &[&str]) -> Option<Self> {
        names.iter().try_fold(self, |e, name| e.child(name))
    }

    /// Everything inside, in the order of the text.
    pub fn inside(self) -> impl Iterator<Item = Self> {
        // Nodes are numbered in the order of the text, so what is inside follows the element without a gap.
        let end = self.end();
        (self.at + 1..end).map(move |at| Self { tree: self.tree, at })
    }

    /// The first of that name inside.
    #[must_use]
    pub fn find(self, name: &str) -> Option<Self> {
        self.inside().find(|e| e.name() == name)
    }

    /// The text of the first of that name inside, when there is some.
    #[must_use]
    pub fn text_of(self, name: &str) -> Option<&'t str> {
        self.find(name).map(Self::text).filter(|t| !t.is_empty())
    }

    fn end(self) -> u32 {
        let mut at = self.at;
        // The last node inside: the last child of the last child of …
        while let Some(last) = self.tree.nodes.get(at as usize).map(|n| n.last_child).filter(|last| *last != NONE) {
            at = last;
        }
        (at + 1).min(self.tree.nodes.len() as u32)
    }
}
