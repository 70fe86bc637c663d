//! Files that operators write: mappings, file mappings, registers of cameras and devices, contracts, recorded frames.
#![no_main]

use ingest::{
    Mappings,
    camera::{Key, Register},
    codec::Example,
    file::FileMapping,
    lorawan::Registry,
    mapping::route::Router,
};
use libfuzzer_sys::fuzz_target;
use schemas::{Contract, Contracts};
use std::sync::OnceLock;

fuzz_target!(|data: &[u8]| {
    static CONTRACTS: OnceLock<Contracts> = OnceLock::new();
    let contracts = CONTRACTS.get_or_init(|| Contracts::builtin().expect("contracts"));
    let [kind, text @ ..] = data else { return };
    let text = String::from_utf8_lossy(text);
    match kind % 6 {
        0 => {
            if let Ok(mappings) = Mappings::parse([("own.toml", &*text)]) {
                let _ = Router::new(contracts.clone(), mappings);
            }
        }
        1 => drop(FileMapping::parse("own", &text)),
        2 => drop(Register::parse([("own.toml", &*text)], Key::new([7; 32]))),
        3 => drop((Registry::parse("own.toml", &text), Registry::parse("own.csv", &text))),
        4 => drop(Contract::parse("own.yaml", &text)),
        _ => drop(Example::parse(&text)),
    }
});
