//! Identifiers and bytes as text: EUIs in the spellings of gateways and network servers, hexadecimal, and lenient base64.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A 64-bit identifier (EUI-64) of a device, a gateway or a join server. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui(pub u64);

impl Eui {
    /// 16 hexadecimal digits, also with `-` or `:` between bytes, or the ID6 form of Basics Station (`b827:ebff::1`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        if digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return u64::from_str_radix(&digits, 16).ok().map(Self);
        }
        id6(text).map(Self)
    }

    #[must_use]
    pub fn from_le(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// `02-02-02-02-02-02-02-02`, as Basics Station writes it.
    #[must_use]
    pub fn dashed(self) -> String {
        self.0.to_be_bytes().map(|b| format!("{b:02X}")).join("-")
    }
}

/// Four groups of 16 bits, of which one run of zeros may be left out.
fn id6(text: &str) -> Option<u64> {
    let groups = |side: &str| -> Option<Vec<u64>> {
        if side.is_empty() {
            return Some(Vec::new());
        }
        side.split(':').map(|g| u64::from_str_radix(g, 16).ok().filter(|v| *v <= 0xffff && g.len() <= 4)).collect()
    };
    let (head, tail) = match text.split_once("::") {
        Some((head, tail)) => (groups(head)?, groups(tail)?),
        None => (groups(text)?, Vec::new()),
    };
    let n = head.len() + tail.len();
    if n > 4 || (n < 4 && !text.contains("::")) {
        return None;
    }
    let zeros = std::iter::repeat_n(0, 4 - n);
    Some(head.into_iter().chain(zeros).chain(tail).fold(0, |all, group| (all << 16) | group))
}

impl fmt::Display for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Eui {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Eui {
    /// Text, or the number that Basics Station may send as its own identity.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(u64),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(n) => Ok(Self(n)),
            Written::Text(text) => Self::parse(&text).ok_or_else(|| de::Error::custom("not an EUI; write it as 16 hexadecimal digits")),
        }
    }
}

/// Lower case, two digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// `None` when a digit is missing or is none.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair.first()?)? << 4) | digit(pair.get(1)?)?)).collect()
}

/// As the forwarders write it: with or without padding, and `-_` beside `+/` in one text (the specification's own example does both).
#[must_use]
pub fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
    );
    let one_alphabet: Vec<u8> = text
        .bytes()
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            b => b,
        })
        .collect();
    LENIENT.decode(one_alphabet).ok()
}

/// With padding, which every forwarder reads.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn euis_are_read_in_every_spelling() {
        for text in ["b827ebfffe000001", "B8-27-EB-FF-FE-00-00-01", "b8:27:eb:ff:fe:00:00:01", "b827:ebff:fe00:1"] {
            assert_eq!(Eui::parse(text), Some(Eui(0xb827_ebff_fe00_0001)), "{text}");
        }
        assert_eq!((Eui::parse("::1"), Eui::parse("f::1"), Eui::parse("::")), (Some(Eui(1)), Some(Eui(0xf << 48 | 1)), Some(Eui(0))));
        for text in ["", "1", "1:2:3", "1:2:3:4:5", "b827ebfffe00000g", "::10000", "b827ebfffe00000"] {
            assert_eq!(Eui::parse(text), None, "{text}");
        }
        assert_eq!(serde_json::from_str::<Eui>("1").unwrap(), Eui(1));
        assert_eq!(Eui(0x0202_0202_0202_02ab).dashed(), "02-02-02-02-02-02-02-AB");
    }

    #[test]
    fn base64_is_read_without_padding_and_in_mixed_alphabets() {
        assert_eq!(base64("-_-_").unwrap(), base64("+/+/").unwrap());
        assert_eq!(base64("+_-/").unwrap(), [0xfb, 0xff, 0xbf]);
        assert_eq!((base64("qg").unwrap(), base64("qg==").unwrap()), (vec![0xaa], vec![0xaa]));
        assert_eq!((base64("a"), base64("a b"), base64("\u{e8}")), (None, None, None));
    }

    proptest! {
        #[test]
        fn bytes_survive_both_texts(bytes: Vec<u8>, text: String) {
            prop_assert_eq!(base64(&to_base64(&bytes)).unwrap(), bytes.clone());
            prop_assert_eq!(unhex(&hex(&bytes)).unwrap(), bytes);
            let _ = (base64(&text), unhex(&text), Eui::parse(&text));
        }
    }
}
