//! `'pg_class'::regclass` and `'array_in'::regproc` by themselves: the catalogue does not list its own tables, and keeps
//! functions by their names.

use crate::query::functions::catalogue_identifier;
use std::borrow::Cow;

/// The text with what is known without looking it up.
pub(super) fn resolved(sql: &str) -> Cow<'_, str> {
    if !sql.contains("::") {
        return Cow::Borrowed(sql);
    }
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("::") {
        let (before, after) = rest.split_at(at);
        match answer(before, &after[2..]) {
            Some((literal, value, kind)) => {
                out.push_str(&before[..before.len() - literal]);
                out.push_str(&value);
                rest = &after[2 + kind..];
            }
            None => {
                out.push_str(before);
                out.push_str("::");
                rest = &after[2..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Length of the literal before, what stands for it, and length of the name of the type after.
fn answer(before: &str, after: &str) -> Option<(usize, String, usize)> {
    let inner = before.strip_suffix('\'')?;
    let name = &inner[inner.rfind('\'')? + 1..];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let kind = after.find(|c: char| !plain(c)).unwrap_or(after.len());
    let short = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let value = match after[..kind].to_ascii_lowercase().trim_start_matches("pg_catalog.") {
        "regclass" => catalogue_identifier(short)?.to_string(),
        "regproc" => format!("'{short}'"),
        _ => return None,
    };
    Some((name.len() + 2, value, kind))
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn only_what_is_known_is_replaced() {
        for (asked, said) in [
            ("SELECT 1 WHERE a = 'pg_class'::regclass AND b", "SELECT 1 WHERE a = 1259 AND b"),
            ("x = 'pg_catalog.pg_class'::pg_catalog.regclass", "x = 1259"),
            ("typinput = 'array_in'::regproc)", "typinput = 'array_in')"),
            ("'bologna.level'::regclass", "'bologna.level'::regclass"),
            ("'it''s'::text, è::int", "'it''s'::text, è::int"),
        ] {
            assert_eq!(resolved(asked), said);
        }
    }
}
