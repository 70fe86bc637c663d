//! CSV files by the built-in mappings, or by one of the input itself: mapping, separator, file.
#![no_main]

use ingest::file::{FileMapping, guess, read};
use libfuzzer_sys::fuzz_target;

const ROWS_MAX: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    let [chosen, file @ ..] = data else { return };
    let names: Vec<&str> = FileMapping::builtin_names().collect();
    let (mapping, file) = match names.get(usize::from(*chosen)) {
        Some(name) => (FileMapping::builtin(name), file),
        None => {
            let mut parts = fuzz::messages(file);
            let (Some(toml), Some(file)) = (parts.next(), parts.next()) else { return };
            (FileMapping::parse("own", &String::from_utf8_lossy(toml)), file)
        }
    };
    guess("a.csv", &String::from_utf8_lossy(file));
    let Ok(mapping) = mapping else { return };
    let mapping = mapping.with_field("pm10");
    if let Ok(rows) = read(&mapping, file, &fuzz::tenant()) {
        for item in rows.take(ROWS_MAX) {
            if item.is_err() {
                break;
            }
        }
    }
});
