use super::*;
use crate::Contracts;

fn air() -> Contract {
    (**Contracts::builtin().unwrap().get(&ProductId::new("air_quality").unwrap()).unwrap()).clone()
}

#[test]
fn a_removed_or_retyped_field_breaks_readers() {
    let old = air();
    let mut new = old.clone();
    new.version = "99.0.0".into();
    assert_eq!(new.breaches_since(&old), []);
    let gone = new.fields.pop().unwrap();
    assert!(new.breaches_since(&old).contains(&Breach::FieldRemoved(gone.name)));
    let mut retyped = old.clone();
    retyped.version = "99.0.0".into();
    retyped.fields[1].kind = FieldType::Text;
    assert!(retyped.breaches_since(&old).contains(&Breach::TypeChanged(old.fields[1].name.clone())));
}

#[test]
fn a_silent_change_is_a_breach() {
    let old = air();
    let mut new = old.clone();
    new.late_after_secs += 1;
    assert_eq!(new.breaches_since(&old), [Breach::VersionUnchanged]);
}

#[test]
fn an_error_names_the_file_and_the_place() {
    let e =
        Contract::parse("x.yaml", "apiVersion: v3.1.0\nkind: DataContract\nid: x\nname: x\nversion: 1.0.0\nstatus: active\nschema: []\n")
            .unwrap_err();
    assert_eq!(e.to_string(), "contract x.yaml: schema: must hold exactly one object, the table");
}

#[test]
fn dates_are_refused_a_day_before_they_are_removed() {
    let mut contract = air();
    let noon = crate::Timestamp((100 * 86_400 + 43_200) * 1_000_000);
    contract.retention_days = Some(30);
    assert_eq!((contract.oldest_date(noon), contract.expired_before(noon)), (Some(70), Some(69)));
    contract.retention_days = Some(u32::MAX);
    assert!(contract.expired_before(noon).unwrap() < -1_000_000);
    contract.retention_days = None;
    assert_eq!(contract.oldest_date(noon), None);
}
