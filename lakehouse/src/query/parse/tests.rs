use super::*;

fn one(sql: &str) -> Result<String, LakehouseError> {
    parse_one(sql).map(|p| match p {
        Parsed::Plan(s) => s.to_string(),
        Parsed::History(name) => name.join("."),
    })
}

#[test]
fn as_of_becomes_a_special_table_with_its_plain_name() {
    assert_eq!(
        one("SELECT t.no2 FROM bologna.Air_Quality FOR SYSTEM_TIME AS OF '2024-03-01T00:00:00Z' AS t").unwrap(),
        r#"SELECT t.no2 FROM bologna."air_quality@t1709251200000000" AS t"#
    );
    assert_eq!(one("SELECT * FROM air_quality VERSION AS OF 12").unwrap(), r#"SELECT * FROM "air_quality@v12" AS "air_quality""#);
    for same in ["'2024-03-01'", "'2024-03-01 00:00:00'", "TIMESTAMP '2024-03-01T01:00:00+01:00'", "DATE '2024-03-01'"] {
        let sql = format!("SELECT * FROM a TIMESTAMP AS OF {same} WHERE x = 1");
        assert_eq!(one(&sql).unwrap(), r#"SELECT * FROM "a@t1709251200000000" AS "a" WHERE x = 1"#, "{same}");
    }
}

#[test]
fn a_column_named_version_is_still_a_column() {
    assert_eq!(one("SELECT version AS of FROM t").unwrap(), "SELECT version AS of FROM t");
    assert_eq!(one("SELECT version AS of, 1 FROM t").unwrap(), "SELECT version AS of, 1 FROM t");
}

#[test]
fn wrong_instants_and_versions_say_what_is_right_and_where() {
    for (sql, says, column) in [
        ("SELECT * FROM t TIMESTAMP AS OF 'yesterday'", "2024-03-01T00:00:00Z", 33),
        ("SELECT * FROM t VERSION AS OF 'x'", "whole number", 31),
        ("SELECT * FROM t VERSION AS OF 1.5", "whole number", 31),
        ("SELECT * FROM t FOR SYSTEM_TIME AS OF $1", "not $1", 39),
        ("SELECT * FROM (SELECT 1) VERSION AS OF 1", "must follow the name", 26),
    ] {
        let Err(LakehouseError::Sql { message, column: Some(at), .. }) = one(sql) else { panic!("{sql}") };
        assert!(message.contains(says), "{sql}: {message}");
        assert_eq!(at, column, "{sql}");
    }
}

#[test]
fn history_is_recognised() {
    assert_eq!(one("describe history bologna.level;").unwrap(), "bologna.level");
    assert_eq!(one("DESC HISTORY level").unwrap(), "level");
}

#[test]
fn syntax_errors_have_a_place() {
    let Err(LakehouseError::Sql { line, column, .. }) = one("SELECT *\nFRM t") else { panic!("parsed") };
    assert_eq!((line, column), (Some(2), Some(5)));
}

#[test]
fn only_reading_is_allowed() {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "CREATE TABLE t (a INT)",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE t",
        "COPY t TO '/tmp/x'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "TRUNCATE t",
        "PREPARE p AS SELECT 1",
    ] {
        assert!(matches!(one(sql), Err(LakehouseError::Forbidden(_))), "{sql}: {:?}", one(sql));
    }
    assert!(one("SELECT 1; SELECT 2").is_err());
    assert!(one("  ; ").is_err());
}

#[test]
fn size_and_depth_are_bounded() {
    let wide = format!("SELECT 1{}", " + 1".repeat(OPERATORS_MAX + 1));
    let deep = format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200));
    let long = format!("SELECT '{}'", "x".repeat(TEXT_MAX));
    for sql in [wide, deep, long] {
        assert!(matches!(one(&sql), Err(LakehouseError::Limit(_))), "{:?}", one(&sql));
    }
}
