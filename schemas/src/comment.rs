//! What a catalogue says of tables and columns, made from their contract: meaning, unit and who may see it.

use crate::{Classification, Contract, Field, geo::ROW_RESOLUTION, row};

impl Contract {
    /// Of the table: what it is, who answers for it, and under which licence.
    #[must_use]
    pub fn comment(&self) -> String {
        let what = if self.description.is_empty() { String::new() } else { format!("{} ", self.description) };
        format!("{}. {what}Owner: {}. Licence: {}.", self.label.en, self.owner, self.licence)
    }

    /// Of a column, own or common to all tables; `None` when the table has no such column.
    #[must_use]
    pub fn column_comment(&self, column: &str) -> Option<String> {
        self.field(column).map(|(_, f)| of_field(f)).or_else(|| of_common(column))
    }
}

fn of_field(f: &Field) -> String {
    let mut out = if f.description.is_empty() { f.label.en.clone() } else { f.description.clone() };
    if let Some(unit) = &f.unit {
        out += &format!(" [{unit}]");
    }
    out + match f.classification {
        Classification::Open => "; open",
        Classification::Internal => "; internal",
        Classification::Personal => "; personal",
    }
}

fn of_common(column: &str) -> Option<String> {
    Some(match column {
        row::ENTITY_ID => "URN of the entity".into(),
        row::OBSERVED_AT => "When it was observed, UTC".into(),
        row::RECEIVED_AT => "When Portico received it, UTC".into(),
        row::SOURCE => "Who sent it".into(),
        row::QUALITY => "valid, unchecked, suspect or invalid".into(),
        row::SIMULATED => "Whether a simulator made the row up".into(),
        row::LON => "Longitude, WGS 84 [deg]".into(),
        row::LAT => "Latitude, WGS 84 [deg]".into(),
        row::H3 => format!("H3 cell of the place at resolution {}", u8::from(ROW_RESOLUTION)),
        row::POSITION => "Position in the log of the frame that brought the row".into(),
        row::DATE => "UTC date of observed_at; tables are partitioned by it".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Contracts, ProductId, row};

    #[test]
    fn a_column_says_what_it_is_in_which_unit_and_for_whom() {
        let all = Contracts::builtin().unwrap();
        let air = all.get(&ProductId::new("air_quality").unwrap()).unwrap();
        assert_eq!(air.column_comment("no2").unwrap(), "Mass concentration of nitrogen dioxide [ug/m3]; open");
        assert!(air.comment().contains("Licence"));
        for c in all.iter() {
            for field in row::stored_schema(c).fields() {
                assert!(c.column_comment(field.name()).is_some_and(|t| !t.is_empty()), "{}.{}", c.product, field.name());
            }
        }
        assert_eq!(air.column_comment("nothing"), None);
    }
}
