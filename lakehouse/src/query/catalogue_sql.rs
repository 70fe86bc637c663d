//! What PostgreSQL's clients write that DataFusion does not plan, rewritten. Two sets of rules: a few that never change an
//! answer, for every statement, and datafusion-pg-catalog's, which guess, for statements that read nothing but `pg_catalog`
//! and `information_schema`: those replace correlated subqueries by NULL, which must never happen to a query of the city.

use datafusion::sql::sqlparser::{
    ast::{
        AccessExpr, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
        ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, Statement, Value, ValueWithSpan, VisitMut, VisitorMut, visit_expressions,
    },
    dialect::PostgreSqlDialect,
    parser::{Parser, ParserError},
};
use datafusion_pg_catalog::sql::{
    PostgresCompatibilityParser,
    rules::{
        AliasDuplicatedProjectionRewrite, CurrentUserVariableToSessionUserFunctionCall, FixVersionColumnName, RewriteArrayAnyAllOperation,
        SqlStatementRewriteRule, StripCallableQualifier,
    },
};
use std::{collections::HashSet, ops::ControlFlow, sync::LazyLock};

mod literals;

static COMPATIBLE: LazyLock<PostgresCompatibilityParser> = LazyLock::new(PostgresCompatibilityParser::new);

/// Relations of a catalogue query that are functions.
const FUNCTIONS: [&str; 3] = ["unnest", "generate_series", "string_to_array"];

/// The rules that keep every answer what it was.
pub(super) fn rewrite(statement: Statement) -> Statement {
    let rules: [&dyn SqlStatementRewriteRule; 5] = [
        &AliasDuplicatedProjectionRewrite,
        &RewriteArrayAnyAllOperation,
        &StripCallableQualifier,
        &CurrentUserVariableToSessionUserFunctionCall,
        &FixVersionColumnName,
    ];
    let mut statement = rules.into_iter().fold(statement, |s, rule| rule.rewrite(s));
    let _ = VisitMut::visit(&mut statement, &mut Escapes);
    statement
}

/// The statements of a text that reads nothing but catalogues; `None` when it reads anything else.
pub(super) fn parse(sql: &str) -> Result<Option<Vec<Statement>>, ParserError> {
    let mut list = COMPATIBLE.parse(&literals::resolved(sql))?;
    for statement in &mut list {
        let mut names = Names::default();
        let _ = VisitMut::visit(statement, &mut names);
        if !names.are_catalogue() {
            return Ok(None);
        }
        let _ = VisitMut::visit(statement, &mut Lookups);
        let _ = VisitMut::visit(statement, &mut OneRow);
        let _ = VisitMut::visit(statement, &mut Escapes);
    }
    Ok(Some(list))
}

/// The relations that a statement names, and those that it makes itself.
#[derive(Default)]
struct Names {
    relations: Vec<Vec<String>>,
    own: HashSet<String>,
}

impl Names {
    fn are_catalogue(&self) -> bool {
        self.relations.iter().all(|parts| match parts.as_slice() {
            [name] => name.starts_with("pg_") || self.own.contains(name) || FUNCTIONS.contains(&name.as_str()),
            [.., schema, _] => schema == "pg_catalog" || schema == "information_schema",
            [] => true,
        })
    }
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for table in query.with.iter_mut().flat_map(|w| &mut w.cte_tables) {
            let name = table.alias.name.value.to_lowercase();
            // `WITH weather AS (SELECT * FROM weather)` reads the table that it hides.
            let mut inner = Self::default();
            let _ = VisitMut::visit(&mut table.query, &mut inner);
            if !inner.relations.contains(&vec![name.clone()]) {
                self.own.insert(name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        let part = |p: &ObjectNamePart| p.as_ident().map(|i| i.value.to_lowercase());
        self.relations.push(name.0.iter().filter_map(part).collect());
        ControlFlow::Continue(())
    }
}

/// Looks up what tables here do not have: defaults, identities, collations, and members of roles.
struct Lookups;

impl VisitorMut for Lookups {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            name_nulls(&mut select.projection);
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                    && matches!(expr, Expr::Case { .. })
                {
                    let _ = VisitMut::visit(expr, &mut NoSubqueries);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("array") && matches!(f.args, FunctionArguments::Subquery(_)) => {
                *expr = null();
            }
            // The engine wants the name of a field as a text: `(keys).x`.
            Expr::CompoundFieldAccess { root, access_chain } if !matches!(root.as_ref(), Expr::Identifier(_)) => {
                for access in access_chain {
                    if let AccessExpr::Dot(name @ Expr::Identifier(_)) = access {
                        *name = Expr::Value(Value::SingleQuotedString(name.to_string().to_lowercase()).with_empty_span());
                    }
                }
            }
            // Privileges are no lists here, and nobody has any of his own.
            Expr::Function(f) if is_one_of(&last_name(&f.name), &["array_to_string"]) && first_is_privileges(f) => *expr = no_text(),
            // A literal was resolved by the rules; a parameter is resolved by the function.
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: inner, data_type: DataType::Custom(kind, _), .. }
                if kind.to_string().to_lowercase().ends_with("regclass") && is_parameter(inner) =>
            {
                if let Ok(call) = Parser::new(&PostgreSqlDialect {})
                    .try_with_sql(&format!("to_regclass(CAST({inner} AS VARCHAR))"))
                    .and_then(|mut p| p.parse_expr())
                {
                    *expr = call;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `SELECT NULL, NULL` has two columns of one name, which is none to PostgreSQL and an error to the engine.
fn name_nulls(projection: &mut [SelectItem]) {
    let nulls = projection.iter_mut().filter(|i| matches!(i, SelectItem::UnnamedExpr(Expr::Value(v)) if v.value == Value::Null));
    for (n, item) in nulls.enumerate().skip(1) {
        *item = SelectItem::ExprWithAlias { expr: null(), alias: Ident::with_quote('"', format!("?column?{n}")) };
    }
}

/// Functions whose answer depends on the objects that the caller sees.
const ABOUT_OBJECTS: [&str; 6] =
    ["obj_description", "col_description", "to_regclass", "pg_table_size", "pg_relation_size", "pg_total_relation_size"];

/// Whether a statement calls one of them.
pub(super) fn asks_about_objects(statement: &Statement) -> bool {
    visit_expressions(statement, |e| match e {
        Expr::Function(f) if f.name.0.last().and_then(ObjectNamePart::as_ident).is_some_and(|i| is_one_of(&i.value, &ABOUT_OBJECTS)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Catalogue queries look one row up by its identifier; the engine wants to see that it is one.
struct OneRow;

const AGGREGATES: [&str; 9] = ["max", "min", "count", "sum", "avg", "string_agg", "array_agg", "bool_or", "bool_and"];

impl VisitorMut for OneRow {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) = expr
            && query.limit_clause.is_none()
            && let SetExpr::Select(select) = query.body.as_mut()
            && !select.from.is_empty()
            && let [SelectItem::UnnamedExpr(one) | SelectItem::ExprWithAlias { expr: one, .. }] = select.projection.as_mut_slice()
        {
            let aggregates = visit_expressions(&*one, |e| match e {
                Expr::Function(f) if is_one_of(&f.name.to_string(), &AGGREGATES) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            if aggregates.is_continue() {
                *one = call("max", vec![std::mem::replace(one, null())]);
            }
        }
        ControlFlow::Continue(())
    }
}

fn last_name(name: &ObjectName) -> String {
    name.0.last().and_then(ObjectNamePart::as_ident).map_or_else(String::new, |i| i.value.clone())
}

/// `array_to_string(c.relacl, ...)`
fn first_is_privileges(f: &Function) -> bool {
    let FunctionArguments::List(list) = &f.args else { return false };
    match list.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(parts)))) => {
            parts.last().is_some_and(|i| i.value.ends_with("acl"))
        }
        _ => false,
    }
}

fn no_text() -> Expr {
    // `nullif('', '')`
    let empty = || Expr::Value(Value::SingleQuotedString(String::new()).with_empty_span());
    call("nullif", vec![empty(), empty()])
}

struct NoSubqueries;

impl VisitorMut for NoSubqueries {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Subquery(_)) {
            *expr = null();
        }
        ControlFlow::Continue(())
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }) => true,
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_parameter(expr),
        _ => false,
    }
}

/// `LIKE pattern ESCAPE '/'` with the backslash, the only escape that the engine has.
struct Escapes;

impl VisitorMut for Escapes {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } = expr
            && let Some(ValueWithSpan { value: Value::SingleQuotedString(escape), .. }) = escape_char
            && escape.chars().count() == 1
            && escape != "\\"
        {
            // A doubled escape is the character itself; a control character keeps it apart meanwhile.
            let steps = [("\\", "\\\\"), (&format!("{escape}{escape}"), "\u{1}"), (escape.as_str(), "\\"), ("\u{1}", escape.as_str())];
            for (from, to) in steps {
                **pattern = replace(std::mem::replace(pattern, null()), from, to);
            }
            *escape_char = None;
        }
        ControlFlow::Continue(())
    }
}

fn replace(text: Expr, from: &str, to: &str) -> Expr {
    let quoted = |s: &str| Expr::Value(Value::SingleQuotedString(s.to_owned()).with_empty_span());
    call("replace", vec![text, quoted(from), quoted(to)])
}

pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
