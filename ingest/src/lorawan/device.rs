//! The devices whose keys are known, from a TOML or a CSV file with the same names.
//!
//! ```toml
//! [[device]]                       # OTAA: the device joins
//! dev_eui = "0202020202020202"
//! name    = "bin 12"               # may be left out
//! join_eui = "0101010101010101"    # may be left out: any
//! app_key = "0102030405060708090a0b0c0d0e0f10"
//! # nwk_key: the root key of a LoRaWAN 1.1 device, which joins here as 1.0 (OptNeg unset)
//!
//! [[device]]                       # ABP: the keys of the session are fixed
//! dev_eui  = "0303030303030303"
//! dev_addr = "01020304"
//! nwk_s_key = "…"
//! app_s_key = "…"
//! # counter_reset = 1: raise it to forget the frame counter of a device that starts again from 0. Old frames become
//! # acceptable again, so do it once, for that device.
//! ```

use super::text::{Eui, unhex};
use crate::{IngestError, decode::reject::nearest};
use lrwn::{AES128Key, NetID};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
};

const FIELDS: [&str; 9] = ["dev_eui", "name", "join_eui", "app_key", "nwk_key", "dev_addr", "nwk_s_key", "app_s_key", "counter_reset"];
const NAME_MAX: usize = 128;
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A key that no log shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub(super) AES128Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// Keys of a session of LoRaWAN 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKeys {
    pub(super) nwk_s_key: Key,
    pub(super) app_s_key: Key,
}

/// How a device comes to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Joins over the air, with this root key.
    Otaa { join_eui: Option<Eui>, root_key: Key },
    /// Personalised: keys and address do not change.
    Abp { dev_addr: u32, keys: SessionKeys, counter_reset: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub dev_eui: Eui,
    pub name: Option<String>,
    pub activation: Activation,
}

/// What a join settled; with the root key it gives the session's keys, which therefore are stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Join {
    pub(super) join_nonce: u32,
    pub(super) net_id: u32,
    pub(super) dev_nonce: u16,
}

pub(super) fn net_id(id: u32) -> NetID {
    let [_, a, b, c] = id.to_be_bytes();
    NetID::from_be_bytes([a, b, c])
}

impl Key {
    /// Keys of LoRaWAN 1.0.x, section 6.2.5.
    pub(super) fn derive(&self, join: Join) -> Option<SessionKeys> {
        let (net_id, none) = (net_id(join.net_id), lrwn::EUI64::default());
        let nwk = lrwn::keys::get_f_nwk_s_int_key(false, &self.0, &net_id, &none, join.join_nonce, join.dev_nonce).ok()?;
        let app = lrwn::keys::get_app_s_key(false, &self.0, &net_id, &none, join.join_nonce, join.dev_nonce).ok()?;
        Some(SessionKeys { nwk_s_key: Key(nwk), app_s_key: Key(app) })
    }
}

/// Every known device.
#[derive(Debug, Clone, Default)]
pub struct Registry(HashMap<Eui, Device>);

impl Registry {
    /// Reads a `.toml` or `.csv` file.
    ///
    /// # Errors
    /// Names the file, the line or table, the field, the rule and the fix. Keys never stand in it.
    pub fn read(path: &Path) -> Result<Self, IngestError> {
        let file = path.display().to_string();
        let failed = |rule: String| IngestError::Config { place: file.clone(), rule };
        let size = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(failed(format!("has {size} bytes, the limit is {FILE_BYTES_MAX}")));
        }
        Self::parse(&file, &std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?)
    }

    /// Reads the text of a file of that name.
    ///
    /// # Errors
    /// As [`Registry::read`].
    pub fn parse(file: &str, text: &str) -> Result<Self, IngestError> {
        let entries = if file.to_ascii_lowercase().ends_with(".csv") { csv_entries(file, text)? } else { toml_entries(file, text)? };
        let mut all = HashMap::with_capacity(entries.len());
        for entry in entries {
            let device = entry.device()?;
            if all.contains_key(&device.dev_eui) {
                return Err(entry.wrong("dev_eui", &format!("{} stands twice; keep one of them", device.dev_eui)));
            }
            all.insert(device.dev_eui, device);
        }
        Ok(Self(all))
    }

    #[must_use]
    pub fn get(&self, dev_eui: Eui) -> Option<&Device> {
        self.0.get(&dev_eui)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.0.values()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One device as written.
struct Entry {
    place: String,
    fields: BTreeMap<String, String>,
}

impl Entry {
    fn wrong(&self, field: &str, rule: &str) -> IngestError {
        IngestError::Config { place: format!("{}: {field}", self.place), rule: rule.into() }
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str).filter(|t| !t.is_empty())
    }

    fn eui(&self, field: &str) -> Result<Option<Eui>, IngestError> {
        let read = |t| Eui::parse(t).ok_or_else(|| self.wrong(field, "is not an EUI; write 16 hexadecimal digits"));
        self.text(field).map(read).transpose()
    }

    fn bytes<const N: usize>(&self, field: &str) -> Result<Option<[u8; N]>, IngestError> {
        let read = |t: &str| {
            let bytes = unhex(t).and_then(|b| <[u8; N]>::try_from(b).ok());
            bytes
                .ok_or_else(|| self.wrong(field, &format!("must be {} hexadecimal digits, it has {} characters", 2 * N, t.chars().count())))
        };
        self.text(field).map(read).transpose()
    }

    fn key(&self, field: &str) -> Result<Option<Key>, IngestError> {
        Ok(self.bytes::<16>(field)?.map(|b| Key(AES128Key::from_bytes(b))))
    }

    fn device(&self) -> Result<Device, IngestError> {
        let dev_eui = self.eui("dev_eui")?.ok_or_else(|| self.wrong("dev_eui", "is missing; every device has one"))?;
        let name = self.text("name").map(str::to_owned);
        if name.as_ref().is_some_and(|n| n.len() > NAME_MAX) {
            return Err(self.wrong("name", &format!("is longer than {NAME_MAX} bytes")));
        }
        let otaa = ["join_eui", "app_key", "nwk_key"].into_iter().find(|f| self.text(f).is_some());
        let abp = ["dev_addr", "nwk_s_key", "app_s_key", "counter_reset"].into_iter().find(|f| self.text(f).is_some());
        let activation = match (otaa, abp) {
            (Some(otaa), Some(abp)) => {
                return Err(self.wrong(abp, &format!("is for ABP and '{otaa}' is for OTAA; keep the fields of one of them")));
            }
            (_, None) => {
                let root_key = self.key("nwk_key")?.or(self.key("app_key")?);
                let root_key = root_key
                    .ok_or_else(|| self.wrong("app_key", "is missing; give app_key (OTAA), or dev_addr, nwk_s_key and app_s_key (ABP)"))?;
                Activation::Otaa { join_eui: self.eui("join_eui")?, root_key }
            }
            (None, Some(_)) => {
                let need = |field: &str| self.wrong(field, "is missing; ABP needs dev_addr, nwk_s_key and app_s_key");
                let dev_addr = u32::from_be_bytes(self.bytes("dev_addr")?.ok_or_else(|| need("dev_addr"))?);
                let nwk_s_key = self.key("nwk_s_key")?.ok_or_else(|| need("nwk_s_key"))?;
                let app_s_key = self.key("app_s_key")?.ok_or_else(|| need("app_s_key"))?;
                let reset = self.text("counter_reset").unwrap_or("0").parse::<u32>().ok().filter(|n| *n < super::state::ABP);
                let counter_reset = reset.ok_or_else(|| self.wrong("counter_reset", "must be a whole number from 0"))?;
                Activation::Abp { dev_addr, keys: SessionKeys { nwk_s_key, app_s_key }, counter_reset }
            }
        };
        Ok(Device { dev_eui, name, activation })
    }
}

fn known(place: &str, field: &str) -> Result<(), IngestError> {
    if FIELDS.contains(&field) {
        return Ok(());
    }
    let hint = nearest(field, FIELDS).map_or_else(|| format!("fields are {}", FIELDS.join(", ")), |n| format!("did you mean '{n}'?"));
    Err(IngestError::Config {
        place: place.into(),
        rule: format!("'{}' is not a field of a device; {hint}", crate::decode::reject::cut(field, 64)),
    })
}

fn toml_entries(file: &str, text: &str) -> Result<Vec<Entry>, IngestError> {
    let failed = |rule: String| IngestError::Config { place: file.into(), rule };
    // The parser's message shows the line, which may hold a key: only what it says of it is told.
    let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |s| text.as_bytes()[..s.start.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1);
        failed(format!("not TOML at line {line}: {}", e.message()))
    })?;
    let devices = table.remove("device");
    if let Some(key) = table.keys().next() {
        return Err(failed(format!("'{key}' is not known here; write one [[device]] table for each device")));
    }
    let devices = match devices {
        None => return Ok(Vec::new()),
        Some(toml::Value::Array(list)) => list,
        Some(_) => return Err(failed("write [[device]], with two brackets, for each device".into())),
    };
    let entry = |(i, value): (usize, toml::Value)| {
        let place = format!("{file}: device[{i}]");
        let mut fields = BTreeMap::new();
        for (field, value) in value.as_table().into_iter().flatten() {
            known(&place, field)?;
            let text = match value {
                toml::Value::String(text) => text.trim().to_owned(),
                toml::Value::Integer(n) if field == "counter_reset" => n.to_string(),
                _ => return Err(IngestError::Config { place: format!("{place}: {field}"), rule: "must be text in quotes".into() }),
            };
            fields.insert(field.clone(), text);
        }
        Ok(Entry { place, fields })
    };
    devices.into_iter().enumerate().map(entry).collect()
}

fn csv_entries(file: &str, text: &str) -> Result<Vec<Entry>, IngestError> {
    let delimiter = if text.lines().next().is_some_and(|head| head.contains(';')) { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
    // A message of the parser may hold the cells: only the place and the kind are told.
    let failed = |line: u64| IngestError::Config {
        place: format!("{file}:{line}"),
        rule: "not a line of the table; give as many cells as the head has names".into(),
    };
    let head = reader.headers().map_err(|_| failed(1))?.clone();
    for name in &head {
        known(&format!("{file}:1"), name)?;
    }
    let entry = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|e| failed(e.position().map_or(0, csv::Position::line)))?;
        let place = format!("{file}:{}", record.position().map_or(0, csv::Position::line));
        let fields = head.iter().zip(&record).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect();
        Ok(Entry { place, fields })
    };
    reader.records().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0102030405060708090a0b0c0d0e0f10";

    fn error(file: &str, text: &str) -> String {
        Registry::parse(file, text).unwrap_err().to_string()
    }

    #[test]
    fn both_files_say_the_same() {
        let toml = format!(
            "[[device]]\ndev_eui='02-02-02-02-02-02-02-02'\nname='bin'\njoin_eui='0101010101010101'\napp_key='{KEY}'\n\
             [[device]]\ndev_eui='0303030303030303'\ndev_addr='01020304'\nnwk_s_key='{KEY}'\napp_s_key='{KEY}'\ncounter_reset=2\n"
        );
        let csv = format!(
            "dev_eui;name;join_eui;app_key;dev_addr;nwk_s_key;app_s_key;counter_reset\n\
             0202020202020202; bin;0101010101010101;{KEY};;;;\n0303030303030303;;;;01020304;{KEY};{KEY};2\n"
        );
        let (a, b) = (Registry::parse("d.toml", &toml).unwrap(), Registry::parse("d.CSV", &csv).unwrap());
        assert_eq!((&a.0, a.len()), (&b.0, 2));
        assert!(matches!(
            a.get(Eui(0x0303_0303_0303_0303)).unwrap().activation,
            Activation::Abp { dev_addr: 0x0102_0304, counter_reset: 2, .. }
        ));
        assert!(!format!("{a:?}").contains("0102030405"), "keys stay out of logs");
        assert!(Registry::parse("d.toml", "").unwrap().is_empty());
    }

    #[test]
    fn errors_name_place_field_and_fix_and_no_key() {
        let otaa = |rest: &str| format!("[[device]]\ndev_eui='0202020202020202'\n{rest}\n");
        for (text, wants) in [
            (otaa("app_kee='x'"), ["device[0]", "did you mean 'app_key'?"]),
            (otaa("app_key='0102'"), ["app_key", "must be 32 hexadecimal digits, it has 4"]),
            (otaa(""), ["app_key", "is missing"]),
            (otaa(&format!("app_key='{KEY}'\ndev_addr='01020304'")), ["dev_addr", "keep the fields of one"]),
            (otaa("dev_addr='01020304'"), ["nwk_s_key", "is missing"]),
            (otaa(&format!("app_key='{KEY}'")).repeat(2), ["device[1]", "stands twice"]),
            ("[[device]]\nname='x'".into(), ["dev_eui", "is missing"]),
            ("[device]\nname='x'".into(), ["[[device]]", "two brackets"]),
            ("devices=1".into(), ["'devices'", "[[device]]"]),
            (otaa("app_key=1"), ["app_key", "text in quotes"]),
            (otaa(&format!("app_key='{KEY}")), ["line 3", "not TOML"]),
        ] {
            let said = error("d.toml", &text);
            assert!(wants.iter().all(|w| said.contains(w)) && !said.contains(KEY), "{said}");
        }
        let said = error("d.csv", &format!("dev_eui,app_key\n0202020202020202,{KEY}\n0303030303030303\n"));
        assert!(said.contains("d.csv:3") && !said.contains(KEY), "{said}");
        let said = error("d.csv", "dev_eui,app_key\n02,x\n");
        assert!(said.contains("d.csv:2") && said.contains("dev_eui"), "{said}");
    }
}
