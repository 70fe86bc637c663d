//! JSON pointers (RFC 6901) of mapping files.

/// A parsed pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    pub path: Vec<Box<str>>,
    /// Written with a leading `^`: starts at the root of the message although the mapping has `each`.
    pub from_root: bool,
}

impl Pointer {
    /// `/a/0/b`, or `^/a` from the root of a message that is read element by element.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (from_root, rest) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let Some(rest) = rest.strip_prefix('/') else {
            return Err(format!("'{text}' is not a JSON pointer; it starts with '/', for example /object/temperature"));
        };
        let path = rest.split('/').map(|t| t.replace("~1", "/").replace("~0", "~").into_boxed_str()).collect();
        Ok(Self { path, from_root })
    }

    /// One key of a flat object.
    #[must_use]
    pub fn key(name: &str) -> Self {
        Self { path: vec![name.into()], from_root: false }
    }

    /// The same pointer below `parents`.
    #[must_use]
    pub fn below(mut self, parents: &[&str]) -> Self {
        if !self.from_root {
            self.path.splice(0..0, parents.iter().map(|p| (*p).into()));
        }
        self.from_root = false;
        self
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for token in &self.path {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}
