use super::*;
use crate::testing::{Row, batch, contracts, table};
use schemas::Value;

fn file() -> Vec<u8> {
    let keyed = Row::new("1", 10, 1).at(11.3, 44.5).with("period", "PT1H").with("street", "Via Rizzoli").with("vehicles", 7);
    let flag = Row::new("2", 10, 1).with("lit", Value::Bool(true)).with("fault", "lamp");
    let tables = [("traffic_count", keyed), ("street_light", flag)].map(|(name, row)| (table(name), batch(name, &[row], true)));
    let mut file = Vec::new();
    Twin::from_rows(contracts(), tables).unwrap().save(&mut file).unwrap();
    file
}

#[test]
fn every_damaged_byte_is_noticed() {
    let good = file();
    assert!(Twin::load(contracts(), good.as_slice()).is_ok());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        assert!(Twin::load(contracts(), bad.as_slice()).is_err(), "byte {at}");
    }
}

#[test]
fn a_file_cut_short_is_noticed() {
    let good = file();
    for len in 0..good.len() {
        assert!(Twin::load(contracts(), &good[..len]).is_err(), "length {len}");
    }
}

/// Blocks with right checksums and wrong content must not panic either.
#[test]
fn damage_below_the_checksum_is_an_error_or_a_twin() {
    let good = file();
    for at in 8..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        reseal(&mut bad);
        if let Ok(twin) = Twin::load(contracts(), bad.as_slice()) {
            let _ = (twin.digest(), twin.all().map(|e| e.values().len()).sum::<usize>());
        }
    }
}

fn reseal(file: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = file.get(at..at + 8) {
        let len = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
        let Some(block) = file.get(at + 8..at + 8 + len) else { return };
        let crc = crc32fast::hash(block);
        file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at += 8 + len;
    }
}

const OLD: &str = include_str!("../../../schemas/contracts/water_level.yaml");

fn saved_water() -> Vec<u8> {
    let rows = batch("water_level", &[Row::new("1", 10, 1).with("level", 1.5)], true);
    let mut file = Vec::new();
    Twin::from_rows(contracts(), [(table("water_level"), rows)]).unwrap().save(&mut file).unwrap();
    file
}

#[test]
fn a_contract_may_gain_a_field_between_save_and_load() {
    let first = "      - name: level\n";
    let turbidity = "      - name: turbidity\n        logicalType: number\n";
    let new = OLD.replacen(first, &format!("{turbidity}{first}"), 1);
    let contracts = Contracts::parse([("water_level.yaml", new.as_str())]).unwrap();
    let twin = Twin::load(contracts, saved_water().as_slice()).unwrap();
    assert_eq!(twin.all().next().unwrap().values(), vec![("level", Value::Float(1.5))]);
}

#[test]
fn a_changed_type_or_key_asks_for_a_rebuild() {
    let key = OLD.replacen("- name: level\n", "- name: level\n        primaryKey: true\n", 1);
    let kind = OLD.replacen("- name: level\n        logicalType: number", "- name: level\n        logicalType: string", 1);
    for changed in [key, kind] {
        assert_ne!(changed, OLD);
        let contracts = Contracts::parse([("water_level.yaml", changed.as_str())]).unwrap();
        assert!(matches!(Twin::load(contracts, saved_water().as_slice()), Err(TwinError::Incompatible { .. })));
    }
    let gone = Contracts::parse([]).unwrap();
    assert!(Twin::load(gone, saved_water().as_slice()).unwrap().is_empty());
}
