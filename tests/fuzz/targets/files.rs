//! CSV files by the built-in mappings: the first byte chooses one.
#![no_main]

use ingest::file::{FileMapping, read};
use libfuzzer_sys::fuzz_target;
use schemas::Tenant;

fuzz_target!(|data: &[u8]| {
    let [mapping, file @ ..] = data else { return };
    let names: Vec<&str> = FileMapping::builtin_names().collect();
    let mapping = FileMapping::builtin(names[usize::from(*mapping) % names.len()]).expect("a name of the list");
    let tenant = Tenant::new("bologna").expect("a name");
    if let Ok(rows) = read(&mapping, file, &tenant) {
        for item in rows.take(10_000) {
            if item.is_err() {
                break;
            }
        }
    }
});
