//! The register of cameras, and the secret that makes the names of objects (GOV-1).

use super::texts;
use crate::config::Config;
use anyhow::{Context as _, Result, anyhow};
use ingest::camera::{Key, Register};
use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

/// In the state directory. Whoever has it and a camera's identifiers could link objects over days; deleting it ends that for good.
const KEY_FILE: &str = "cameras.key";
const KEY_BYTES: usize = 32;

/// The register of `data.cameras`; empty, and refusing every camera, without the setting.
pub fn register(config: &Config) -> Result<Arc<Register>> {
    let files = texts(&config.data.cameras, "toml")?;
    if files.is_empty() {
        return Ok(Arc::default());
    }
    let key = key(&config.state_dir().join(KEY_FILE))?;
    let files = files.iter().map(|(file, text)| (file.as_str(), text.as_str()));
    Ok(Arc::new(Register::parse(files, key)?))
}

/// The secret of this installation, made at the first start; only its owner may read the file.
fn key(path: &Path) -> Result<Key> {
    if !path.exists() {
        let mut secret = [0; KEY_BYTES];
        rand::fill(&mut secret);
        let half = path.with_extension("half");
        let options = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).clone();
        let mut file = options.open(&half).with_context(|| half.display().to_string())?;
        file.write_all(&secret)?;
        file.sync_all()?;
        fs::rename(&half, path).with_context(|| path.display().to_string())?;
    }
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let secret = bytes.try_into().map_err(|_| anyhow!("{} must have {KEY_BYTES} bytes; delete it to get another", path.display()))?;
    Ok(Key::new(secret))
}
