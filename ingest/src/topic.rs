//! MQTT topic names and filters (MQTT 5.0, 4.7): validation, matching, and which filter includes which.

/// The longest topic name or filter that is accepted, in bytes. The wire allows 65,535; no convention of the field needs more than this.
pub const TOPIC_LEN_MAX: usize = 1_024;

/// First level of the topics on which Portico itself speaks to devices. A client that publishes there is refused, whatever its rights:
/// what comes on them was authorised.
pub const COMMANDS: &str = "command/";

/// A valid topic filter: levels between `/`, where `+` stands for one level and a last `#` for the parent and everything below it.
///
/// A filter that starts with a wildcard does not reach topics that start with `$` (4.7.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicFilter(String);

impl TopicFilter {
    /// `None` when the text is empty, longer than [`TOPIC_LEN_MAX`], holds a NUL, a wildcard is not a whole level or `#` is not last.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > TOPIC_LEN_MAX || text.contains('\0') {
            return None;
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let wild = level.contains(['+', '#']);
            if wild && (level.len() != 1 || (level == "#" && levels.peek().is_some())) {
                return None;
            }
        }
        Some(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a valid topic name is in the filter.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let (mut filter, mut name) = (self.0.as_bytes(), topic.as_bytes());
        if name.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
            return false;
        }
        loop {
            match filter.first() {
                Some(b'#') => return true,
                Some(b'+') => {
                    filter = &filter[1..];
                    name = &name[level_len(name)..];
                }
                _ => {
                    let same = filter.iter().zip(name).take_while(|(f, n)| f == n && **f != b'+' && **f != b'#').count();
                    (filter, name) = (&filter[same..], &name[same..]);
                }
            }
            match (filter.first(), name.first()) {
                (None, None) => return true,
                // `a/#` holds `a` itself.
                (Some(b'/'), None) => return filter == b"/#",
                (Some(b'/'), Some(b'/')) => (filter, name) = (&filter[1..], &name[1..]),
                (Some(b'+' | b'#'), _) => {}
                _ => return false,
            }
        }
    }

    /// Whether every topic of `other` is also in this filter. Decides which subscriptions a right grants.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if other.0.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let (mut have, mut want) = (self.0.split('/'), other.0.split('/'));
        loop {
            match (have.next(), want.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(w)) if w != "#" => {}
                (Some(h), Some(w)) if h == w => {}
                _ => return false,
            }
        }
    }
}

impl std::fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text of a topic name that may be published to: UTF-8, 1 to [`TOPIC_LEN_MAX`] bytes, no wildcard, no NUL (MQTT 5.0, 1.5.4 and 4.7.3).
///
/// # Errors
/// What is wrong, in words for the owner of the gateway.
pub fn name(bytes: &[u8]) -> Result<&str, TopicError> {
    if bytes.is_empty() {
        return Err(TopicError::Empty);
    }
    if bytes.len() > TOPIC_LEN_MAX {
        return Err(TopicError::TooLong(bytes.len()));
    }
    if bytes.iter().any(|b| matches!(b, b'+' | b'#')) {
        return Err(TopicError::Wildcard);
    }
    if bytes.contains(&0) {
        return Err(TopicError::NotText);
    }
    std::str::from_utf8(bytes).map_err(|_| TopicError::NotText)
}

/// Why bytes are not a topic name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("the topic is empty; name one")]
    Empty,
    #[error("the topic has {0} bytes, the limit is {TOPIC_LEN_MAX}; shorten it")]
    TooLong(usize),
    #[error("the topic holds '+' or '#'; wildcards belong in subscriptions")]
    Wildcard,
    #[error("the topic is not UTF-8 text without NUL")]
    NotText,
}

fn level_len(name: &[u8]) -> usize {
    name.iter().position(|&b| b == b'/').unwrap_or(name.len())
}

#[cfg(test)]
pub(crate) mod tests;
