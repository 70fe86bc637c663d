use super::*;

fn one(sql: &str) -> Statement {
    Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0)
}

#[test]
fn subqueries_of_the_citys_tables_stay() {
    for sql in [
        "SELECT (SELECT max(weather.t) FROM weather)",
        "SELECT w.id, (SELECT max(x.t) FROM weather AS x WHERE x.id = w.id) FROM weather AS w",
        "SELECT CASE WHEN true THEN (SELECT 1) END",
    ] {
        assert_eq!(rewrite(one(sql)).to_string(), sql);
    }
}

#[test]
fn what_reads_a_table_of_the_city_is_no_catalogue_query() {
    for sql in [
        "SELECT (SELECT max(w.t) FROM weather w) FROM pg_class",
        "SELECT pg_x.t FROM bologna.weather AS pg_x",
        "SELECT 1 FROM pg_class JOIN bologna.pg_thing ON true",
        "WITH weather AS (SELECT t AS pg_t FROM weather) SELECT * FROM weather",
    ] {
        assert!(parse(sql).unwrap().is_none(), "{sql}");
    }
    for sql in ["SELECT relname FROM pg_class", "WITH c AS (SELECT 1 FROM pg_catalog.pg_type) SELECT * FROM c", "SELECT pg_backend_pid()"] {
        assert!(parse(sql).unwrap().is_some(), "{sql}");
    }
}

#[test]
fn another_escape_becomes_the_backslash() {
    let out = rewrite(one("SELECT 1 WHERE a NOT LIKE 'pg/_%' ESCAPE '/'")).to_string();
    assert!(out.contains("replace(") && !out.contains("ESCAPE"), "{out}");
    let kept = "SELECT 1 WHERE a LIKE 'x\\_%' ESCAPE '\\'";
    assert_eq!(rewrite(one(kept)).to_string(), kept);
}
