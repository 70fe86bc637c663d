//! Events of sessions in one file: a line for each, `crc32 json`, added and synchronised; made short by writing a new file beside
//! it and renaming. A last line that a crash cut off is dropped: nothing followed from it. Any other damage is an error.

use super::state::{Event, SessionStore};
use crate::IngestError;
use parking_lot::Mutex;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

const FILE: &str = "sessions.jsonl";

/// Events in a directory of their own.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    /// Open at its end after the first use.
    file: Mutex<Option<File>>,
}

impl FileStore {
    /// Makes the directory when there is none.
    ///
    /// # Errors
    /// When that fails.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, IngestError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(|e| unavailable(&dir, &e))?;
        Ok(Self { dir, file: Mutex::default() })
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn add(&self, events: &[Event]) -> io::Result<()> {
        let lines = lines(events)?;
        let mut open = self.file.lock();
        if open.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(self.path())?;
            File::open(&self.dir)?.sync_all()?;
            *open = Some(file);
        }
        let Some(file) = open.as_mut() else { return Ok(()) };
        let before = file.metadata()?.len();
        let written = file.write_all(&lines).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line must not stand in front of the next one.
            file.set_len(before)?;
        }
        written
    }

    fn swap(&self, events: &[Event]) -> io::Result<()> {
        let mut open = self.file.lock();
        let new = self.dir.join(format!("{FILE}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&lines(events)?)?;
        file.sync_all()?;
        *open = None;
        fs::rename(&new, self.path())?;
        File::open(&self.dir)?.sync_all()
    }

    /// The events, and how many bytes of the file hold them.
    fn read(&self) -> Result<Vec<Event>, IngestError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(unavailable(&path, &e)),
        };
        let mut events = Vec::new();
        let mut good = 0;
        for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
            match event(line) {
                Some(event) => events.push(event),
                None if good + line.len() == bytes.len() => {
                    tracing::warn!(file = %path.display(), line = i + 1, "the last event was cut off by a crash; nothing followed from it");
                    let file = OpenOptions::new().write(true).open(&path).map_err(|e| unavailable(&path, &e))?;
                    file.set_len(good as u64).and_then(|()| file.sync_all()).map_err(|e| unavailable(&path, &e))?;
                    break;
                }
                None => {
                    let rule = "is damaged; restore the file from a backup (without it old radio frames could be sent again and accepted)";
                    return Err(IngestError::Config { place: format!("{}:{}", path.display(), i + 1), rule: rule.into() });
                }
            }
            good += line.len();
        }
        Ok(events)
    }
}

fn unavailable(path: &Path, e: &io::Error) -> IngestError {
    IngestError::Unavailable { what: path.display().to_string(), message: e.to_string() }
}

fn lines(events: &[Event]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(events.len() * 96);
    for event in events {
        let json = serde_json::to_vec(event)?;
        write!(out, "{:08x} ", crc32fast::hash(&json))?;
        out.extend_from_slice(&json);
        out.push(b'\n');
    }
    Ok(out)
}

fn event(line: &[u8]) -> Option<Event> {
    let (crc, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?.strip_suffix(' ')?, 16).ok()?;
    (crc32fast::hash(json) == crc).then(|| serde_json::from_slice(json).ok())?
}

impl SessionStore for FileStore {
    fn load(&self) -> Result<Vec<Event>, IngestError> {
        self.read()
    }

    fn append(&self, events: &[Event]) -> Result<(), IngestError> {
        self.add(events).map_err(|e| unavailable(&self.path(), &e))
    }

    fn replace(&self, events: &[Event]) -> Result<(), IngestError> {
        self.swap(events).map_err(|e| unavailable(&self.path(), &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lorawan::text::Eui;
    use proptest::prelude::*;

    fn up(f_cnt: u32) -> Event {
        Event::Up { dev_eui: Eui(1), session: 1, f_cnt }
    }

    #[test]
    fn events_survive_and_a_torn_end_is_dropped_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lorawan").join(FILE);
        let store = FileStore::open(dir.path().join("lorawan")).unwrap();
        assert_eq!(store.load().unwrap(), []);
        store.append(&[up(1), up(2)]).unwrap();
        store.append(&[up(3)]).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 7]).unwrap();
        let store = FileStore::open(dir.path().join("lorawan")).unwrap();
        assert_eq!(store.load().unwrap(), [up(1), up(2)]);
        store.append(&[up(4)]).unwrap();
        assert_eq!(store.load().unwrap(), [up(1), up(2), up(4)]);
        store.replace(&[up(9)]).unwrap();
        store.append(&[up(10)]).unwrap();
        assert_eq!(FileStore::open(dir.path().join("lorawan")).unwrap().load().unwrap(), [up(9), up(10)]);
    }

    #[test]
    fn damage_in_the_middle_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        store.append(&[up(1), up(2)]).unwrap();
        let mut bytes = fs::read(dir.path().join(FILE)).unwrap();
        bytes[20] ^= 1;
        fs::write(dir.path().join(FILE), bytes).unwrap();
        let said = store.load().unwrap_err().to_string();
        assert!(said.contains(":1") && said.contains("restore the file"), "{said}");
    }

    proptest! {
        #[test]
        fn any_line_is_an_event_or_none(line: Vec<u8>) {
            let _ = event(&line);
        }
    }
}
