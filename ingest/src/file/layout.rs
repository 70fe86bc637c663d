//! A mapping bound to the header of one file: names of columns become their indices.

use super::{
    cell::Template,
    line,
    mapping::{BUILTIN, CellKind, FileMapping, PivotField, field_of_name},
    time::Clockwork,
};
use crate::{IngestError, decode::reject::nearest};
use std::collections::BTreeMap;

/// Where everything stands in a line.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) header: Vec<String>,
    pub(super) clock: Clockwork,
    pub(super) time: usize,
    pub(super) entity: Template,
    pub(super) geopoint: Option<usize>,
    pub(super) fields: Vec<FieldColumn>,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(super) struct FieldColumn {
    pub(super) name: String,
    pub(super) column: usize,
    pub(super) kind: CellKind,
    pub(super) key: bool,
}

#[derive(Debug)]
pub(super) enum Shape {
    /// One message a line.
    Long,
    /// One message per station: name, column of the value, column of the flag.
    Stations { field: String, columns: Vec<(String, usize, Option<usize>)> },
    /// One message per hour.
    Hours { field: String, columns: [usize; 24] },
    /// One message a line; a column says which field the value is.
    Pivot { column: usize, value: usize, unit: usize, fields: BTreeMap<String, PivotField> },
}

/// The label of an hourly column, `07:00-08:00`.
pub(super) fn hour_label(hour: usize) -> String {
    format!("{hour:02}:00-{:02}:00", hour + 1)
}

impl Layout {
    /// Fails when a column that the mapping names is not in the header.
    pub(super) fn bind(mapping: &FileMapping, header: &str) -> Result<Self, IngestError> {
        let spec = &mapping.spec;
        let invalid = |rule: String| IngestError::Invalid(format!("file mapping '{}': {rule}", mapping.name));
        let mut names = Vec::new();
        line::cells(header, spec.delimiter, &mut names).map_err(|e| invalid(format!("the header {e}")))?;
        let header: Vec<String> = names.iter().map(|n| n.trim().to_owned()).collect();
        let find = |name: &str| header.iter().position(|h| h == name);
        let column = |name: &str| {
            find(name).ok_or_else(|| {
                let hint = nearest(name, header.iter().map(String::as_str)).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
                invalid(format!("the header has no column '{name}'{hint}"))
            })
        };
        let fields = spec
            .fields
            .iter()
            .map(|(name, f)| Ok(FieldColumn { name: name.clone(), column: column(&f.column)?, kind: f.kind, key: f.key }))
            .collect::<Result<Vec<_>, IngestError>>()?;
        let shape = if let Some(wide) = &spec.wide_stations {
            let field =
                mapping.field.clone().ok_or_else(|| invalid("say which field the file holds: give its name or the field".into()))?;
            let columns = stations(&header, &spec.time.column, &wide.flag_prefix);
            if columns.is_empty() {
                return Err(invalid("the header has no column of a station".into()));
            }
            Shape::Stations { field, columns }
        } else if let Some(wide) = &spec.wide_hours {
            let mut columns = [0; 24];
            for (hour, slot) in columns.iter_mut().enumerate() {
                *slot = column(&hour_label(hour))?;
            }
            Shape::Hours { field: wide.field.clone(), columns }
        } else if let Some(pivot) = &spec.pivot {
            Shape::Pivot {
                column: column(&pivot.column)?,
                value: column(&pivot.value)?,
                unit: column(&pivot.unit)?,
                fields: pivot.fields.clone(),
            }
        } else {
            Shape::Long
        };
        Ok(Self {
            clock: Clockwork::new(&spec.time).map_err(invalid)?,
            time: column(&spec.time.column)?,
            entity: Template::bind(&spec.entity, find).map_err(|name| invalid(format!("entity: the header has no column '{name}'")))?,
            geopoint: spec.place.as_ref().map(|p| column(&p.geopoint)).transpose()?,
            fields,
            shape,
            header,
        })
    }
}

/// Every column that is neither the time nor a flag, with the column of its flag.
fn stations(header: &[String], time: &str, flag_prefix: &str) -> Vec<(String, usize, Option<usize>)> {
    let flag = |name: &str| header.iter().position(|h| h.strip_prefix(flag_prefix) == Some(name));
    let is_flag = |name: &str| name.strip_prefix(flag_prefix).is_some_and(|n| header.iter().any(|h| h == n));
    header
        .iter()
        .enumerate()
        .filter(|(_, name)| *name != time && !name.is_empty() && !is_flag(name))
        .map(|(i, name)| (name.clone(), i, flag(name)))
        .collect()
}

/// The built-in mapping that fits a file's name and first line, if one does.
#[must_use]
pub fn guess(file_name: &str, header: &str) -> Option<&'static str> {
    let header = header.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    BUILTIN.iter().map(|(name, _)| *name).find(|name| {
        let Ok(mapping) = FileMapping::builtin(name) else { return false };
        let named =
            mapping.spec.wide_stations.as_ref().is_none_or(|w| field_of_name(w, file_name).is_some() && header.contains(&w.flag_prefix));
        named && mapping.for_file(file_name).and_then(|m| Layout::bind(&m, header)).is_ok()
    })
}
