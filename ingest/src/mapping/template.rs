//! Topic templates: a topic filter whose single-level wildcards may have names, `city/{station}/+/air`.

use schemas::Tenant;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    /// `+` (no name) or `{name}`.
    One(Option<Box<str>>),
    /// `#`, only last.
    Rest,
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    levels: Vec<Level>,
}

/// The named levels of one topic.
pub type Captures<'t> = Vec<(&'t str, &'t str)>;

impl TopicTemplate {
    /// Errors name the level that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.starts_with('$') {
            return Err("must not be empty nor start with '$'".into());
        }
        let parts: Vec<&str> = text.split('/').collect();
        let last = parts.len() - 1;
        let mut levels = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            levels.push(match *part {
                "#" if i == last => Level::Rest,
                "+" => Level::One(None),
                p if p.starts_with('{') && p.ends_with('}') && p.len() > 2 && !p[1..p.len() - 1].contains(['{', '}']) => {
                    Level::One(Some(p[1..p.len() - 1].into()))
                }
                p if p.contains(['#', '+', '{', '}']) => {
                    return Err(format!("level '{p}' mixes a wildcard with text; use a whole level '+', '{{name}}', or a last '#'"));
                }
                p => Level::Literal(p.into()),
            });
        }
        let template = Self { levels };
        let mut names: Vec<&str> = template.names().collect();
        names.sort_unstable();
        match names.windows(2).find(|w| w[0] == w[1]) {
            Some(w) => Err(format!("'{{{}}}' stands twice", w[0])),
            None => Ok(template),
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|l| match l {
            Level::One(Some(name)) => Some(&**name),
            _ => None,
        })
    }

    /// The captures when the topic matches.
    #[must_use]
    pub fn matches<'t>(&'t self, topic: &'t str) -> Option<Captures<'t>> {
        let mut captures = Vec::new();
        let mut have = topic.split('/');
        for level in &self.levels {
            match level {
                Level::Rest => return Some(captures),
                Level::Literal(want) => {
                    if have.next()? != &**want {
                        return None;
                    }
                }
                Level::One(name) => {
                    let value = have.next()?;
                    if let Some(name) = name {
                        captures.push((&**name, value));
                    }
                }
            }
        }
        have.next().is_none().then_some(captures)
    }
}

/// A text with `{name}` places, filled from captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate(Vec<(Box<str>, Option<Box<str>>)>);

impl TextTemplate {
    /// Every `{name}` must be one of `names`.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or_else(|| format!("'{text}' has a '{{' without its '}}'"))?;
            if !names.contains(&name) {
                return Err(format!(
                    "'{{{name}}}' is not in the topic; it has {}",
                    if names.is_empty() { "no names".into() } else { names.join(", ") }
                ));
            }
            parts.push((before.into(), Some(name.into())));
            rest = tail;
        }
        parts.push((rest.into(), None));
        Ok(Self(parts))
    }

    #[must_use]
    pub fn fill(&self, captures: &Captures<'_>) -> String {
        let mut out = String::new();
        for (text, name) in &self.0 {
            out.push_str(text);
            if let Some(name) = name {
                out.push_str(captures.iter().find(|(n, _)| *n == &**name).map_or("", |(_, v)| v));
            }
        }
        out
    }
}

/// How the tenant of a mapping is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantRule {
    /// The sender's own.
    Sender,
    Fixed(Tenant),
    /// A named level of the topic.
    Captured(String),
}
