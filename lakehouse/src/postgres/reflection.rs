//! SQLAlchemy's question about the columns of a table, without the parts that no table here has an answer to.
//!
//! Version 2.1 asks for defaults, identity sequences and collations in correlated subqueries that DataFusion cannot plan.
//! No column here has any of the three, so each part becomes the null that it would come to. Its parameters stay in the
//! text: the client sends a value for every one it wrote.

use std::borrow::Cow;

/// What only this question contains.
const SIGN: &str = "pg_catalog.pg_get_serial_sequence(";

/// Beginning of each part, and the end that names it.
const PARTS: [(&str, &str); 3] = [
    ("CASE WHEN pg_catalog.pg_attribute.atthasdef", " END AS \"default\""),
    ("CASE WHEN (pg_catalog.pg_attribute.attidentity", " END AS identity_options"),
    ("CASE WHEN (pg_catalog.pg_attribute.attcollation", " END AS collation"),
];

pub(super) fn simplified(sql: &str) -> Cow<'_, str> {
    if !sql.contains(SIGN) {
        return Cow::Borrowed(sql);
    }
    let mut out = sql.to_owned();
    for (start, end) in PARTS {
        let Some(from) = out.find(start) else { continue };
        let Some(length) = out[from..].find(end) else { continue };
        let kept = parameters(&out[from..from + length]);
        let null = if kept.is_empty() {
            "CASE WHEN false THEN ''".to_owned()
        } else {
            format!("CASE WHEN concat({}) IS NULL THEN ''", kept.join(", "))
        };
        out.replace_range(from..from + length, &null);
    }
    Cow::Owned(out)
}

/// `$3::INTEGER` and its like, each made a text.
fn parameters(part: &str) -> Vec<String> {
    let end_of = |text: &str| text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '$' | ':' | '_'))).unwrap_or(text.len());
    part.match_indices('$').map(|(at, _)| format!("{}::VARCHAR", &part[at..at + end_of(&part[at..])])).collect()
}

#[cfg(test)]
mod tests {
    use super::simplified;

    #[test]
    fn parts_become_null_and_keep_their_parameters() {
        let asked = "SELECT a, CASE WHEN (pg_catalog.pg_attribute.attidentity != $1::VARCHAR) THEN (SELECT f($2::INTEGER, \
                     pg_catalog.pg_get_serial_sequence(x))) ELSE NULL END AS identity_options FROM t WHERE b = $3::VARCHAR";
        let said = "SELECT a, CASE WHEN concat($1::VARCHAR::VARCHAR, $2::INTEGER::VARCHAR) IS NULL THEN '' END AS identity_options FROM t WHERE b = $3::VARCHAR";
        assert_eq!(simplified(asked), said);
        assert_eq!(simplified("SELECT 1"), "SELECT 1");
    }
}
