//! Why a message did not become a row, in words for whoever runs the gateway.

use super::json::JsonError;
use std::fmt;

macro_rules! reasons {
    ($($name:ident $code:literal $doc:literal;)*) => {
        /// Stable code of a refusal; the column `reason` of `ops.quarantine` and a label of the metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $(#[doc = $doc] $name,)* }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    NotJson "not_json" "The payload is not JSON text (RFC 8259) in UTF-8.";
    TooLarge "too_large" "More bytes than the limit.";
    TooDeep "too_deep" "More nesting than the limit.";
    NotAnObject "not_an_object" "JSON, but not an object.";
    UnknownTopic "unknown_topic" "No mapping matches the topic.";
    UnknownField "unknown_field" "A key that the contract does not have.";
    MissingField "missing_field" "A required field is absent or null.";
    WrongType "wrong_type" "A value of another type than the contract says.";
    OutOfRange "out_of_range" "A value outside the contract's range or length.";
    NotFinite "not_finite" "NaN or Infinity.";
    BadTime "bad_time" "The time of observation is absent or not a time.";
    Future "future" "Observed later than now plus the contract's tolerance.";
    TooOld "too_old" "Observed before the oldest instant that is accepted.";
    BadPosition "bad_position" "A coordinate off the globe, or only one of the two.";
    BadEntity "bad_entity" "The identifier of the entity is absent or unusable.";
    Conflict "conflict" "The same row was stored before with other values.";
    DuplicateKey "duplicate_key" "A key stands twice in one object.";
    CodecFailed "codec_failed" "The payload codec of the device refused the frame, or was stopped.";
    NoContract "no_contract" "The product has no contract.";
    NoRegisterEntry "no_register_entry" "A camera stream that is not in the register of cameras, or not at that time.";
    NotFormat "not_format" "Not a message of the format that the mapping names.";
    NoBirth "no_birth" "Sparkplug B: data of a node or device whose birth was not seen.";
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub reason: Reason,
    /// The key or JSON pointer that is wrong, when one is.
    pub field: Option<String>,
    /// Names the field, the rule and the fix.
    pub message: String,
}

impl Reject {
    #[cold]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, field: None, message: message.into() }
    }

    #[cold]
    pub fn field(reason: Reason, field: &str, message: impl Into<String>) -> Self {
        Self { reason, field: Some(cut(field, 128)), message: message.into() }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.message)
    }
}

impl From<JsonError> for Reject {
    #[cold]
    fn from(e: JsonError) -> Self {
        match e {
            JsonError::NotUtf8(at) => Self::new(Reason::NotJson, format!("byte {at} is not UTF-8; JSON is always UTF-8")),
            JsonError::Syntax { at, expected } => Self::new(Reason::NotJson, format!("not JSON: at byte {at} there should be {expected}")),
            JsonError::NotFinite(at) => {
                Self::new(Reason::NotFinite, format!("NaN or Infinity at byte {at}; leave the field out when there is no value"))
            }
            JsonError::TooDeep(at) => {
                Self::new(Reason::TooDeep, format!("too many nested objects and lists at byte {at}; flatten the message"))
            }
        }
    }
}

/// At most `max` bytes of foreign text, for messages.
#[must_use]
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// The nearest of `names`, when it is near enough to be a slip of the pen.
#[must_use]
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = cut(text, 64);
    names.into_iter().map(|n| (strsim::damerau_levenshtein(&text, n), n)).filter(|(d, n)| *d <= 1 + n.len() / 4).min().map(|(_, n)| n)
}
