//! A JSON document as columns: each pointer with the scalars that the samples of a group hold there. Bounded on every side.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Pointers of one group; more are not looked at (a plan reads 128 keys).
const COLUMNS_MAX: usize = 400;
/// Values kept of one pointer.
const VALUES_MAX: usize = 50;
/// Elements looked at in a list of scalars (a position), and in a list of observations.
const SCALARS_MAX: usize = 4;
const ELEMENTS_MAX: usize = 20;
/// Nesting looked at.
const DEPTH_MAX: usize = 8;

/// What stands at one pointer.
#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    pub(super) path: Vec<String>,
    /// Stands outside the list of observations: its pointer is written with `^`.
    pub(super) outer: bool,
    pub(super) values: Vec<Value>,
}

impl Column {
    /// RFC 6901, as mapping files write it.
    pub(super) fn pointer(&self) -> String {
        let escape = |t: &String| format!("/{}", t.replace('~', "~0").replace('/', "~1"));
        let path: String = self.path.iter().map(escape).collect();
        if self.outer { format!("^{path}") } else { path }
    }

    pub(super) fn last(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        self.values.iter().map(Value::as_f64).collect()
    }

    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        self.values.iter().map(Value::as_str).collect()
    }

    pub(super) fn is_flag(&self) -> bool {
        self.values.iter().all(Value::is_boolean)
    }
}

/// One way to look at the documents of a group: as one observation each, or as a list of them.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Pointer to the list of observations.
    pub(super) each: Option<String>,
    pub(super) columns: Vec<Column>,
}

/// The ways to look at these documents, the plain one first.
pub(super) fn views(documents: &[&Value]) -> Vec<View> {
    let mut out = vec![view(documents, None)];
    let mut lists = BTreeSet::new();
    documents.iter().for_each(|d| lists_of_objects(d, &mut Vec::new(), &mut lists));
    out.extend(lists.into_iter().take(4).map(|list| view(documents, Some(&list))));
    out.retain(|v| !v.columns.is_empty());
    out
}

fn lists_of_objects(value: &Value, path: &mut Vec<String>, out: &mut BTreeSet<Vec<String>>) {
    match value {
        Value::Array(list) if !path.is_empty() && list.first().is_some_and(Value::is_object) => drop(out.insert(path.clone())),
        Value::Object(map) if path.len() < DEPTH_MAX => {
            for (key, inner) in map {
                path.push(key.clone());
                lists_of_objects(inner, path, out);
                path.pop();
            }
        }
        _ => {}
    }
}

fn view(documents: &[&Value], list: Option<&Vec<String>>) -> View {
    let mut columns = BTreeMap::new();
    for document in documents {
        walk(document, &mut Vec::new(), list.is_some(), &mut columns);
        let Some(list) = list else { continue };
        let inner = list.iter().try_fold(*document, |v, key| v.get(key));
        for element in inner.and_then(Value::as_array).into_iter().flatten().take(ELEMENTS_MAX) {
            walk(element, &mut Vec::new(), false, &mut columns);
        }
    }
    let each = list.map(|list| Column { path: list.clone(), ..Column::default() }.pointer());
    View { each, columns: columns.into_values().collect() }
}

type Columns = BTreeMap<(bool, Vec<String>), Column>;

fn walk(value: &Value, path: &mut Vec<String>, outer: bool, out: &mut Columns) {
    match value {
        Value::Object(map) if path.len() < DEPTH_MAX => {
            for (key, inner) in map {
                path.push(key.clone());
                walk(inner, path, outer, out);
                path.pop();
            }
        }
        Value::Array(list) if path.len() < DEPTH_MAX => {
            for (i, inner) in list.iter().take(SCALARS_MAX).enumerate().filter(|(_, v)| !v.is_object() && !v.is_array()) {
                path.push(i.to_string());
                walk(inner, path, outer, out);
                path.pop();
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) if !path.is_empty() => {
            let key = (outer, path.clone());
            if out.len() >= COLUMNS_MAX && !out.contains_key(&key) {
                return;
            }
            let column = out.entry(key).or_insert_with(|| Column { path: path.clone(), outer, values: Vec::new() });
            if column.values.len() < VALUES_MAX {
                column.values.push(value.clone());
            }
        }
        _ => {}
    }
}

/// Which keys a document has, lists counted once: what two messages of one kind of device share.
pub(super) fn shape(value: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    shape_into(value, String::new(), 0, &mut out);
    out
}

fn shape_into(value: &Value, at: String, depth: usize, out: &mut BTreeSet<String>) {
    if depth > DEPTH_MAX || out.len() >= COLUMNS_MAX {
        return;
    }
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| shape_into(inner, format!("{at}/{key}"), depth + 1, out)),
        Value::Array(list) => list.iter().take(1).for_each(|inner| shape_into(inner, format!("{at}/*"), depth + 1, out)),
        _ => drop(out.insert(at)),
    }
}
