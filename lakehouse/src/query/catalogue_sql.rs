//! What PostgreSQL's clients write that DataFusion does not plan, rewritten. Two sets of rules: a few that never change an
//! answer, for every statement, and datafusion-pg-catalog's, which guess, for statements that read nothing but `pg_catalog`
//! and `information_schema`: those replace correlated subqueries by NULL, which must never happen to a query of the city.

use datafusion::sql::sqlparser::{
    ast::{
        CastKind, DataType, Expr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, Statement, Value,
        ValueWithSpan, VisitMut, VisitorMut,
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
    let mut list = COMPATIBLE.parse(sql)?;
    for statement in &mut list {
        let mut names = Names::default();
        let _ = VisitMut::visit(statement, &mut names);
        if !names.are_catalogue() {
            return Ok(None);
        }
        let _ = VisitMut::visit(statement, &mut Lookups);
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
            // A literal was resolved by the rules; a parameter is resolved by the function.
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: inner, data_type: DataType::Custom(kind, _), .. }
                if kind.to_string().to_lowercase().ends_with("regclass") && is_parameter(inner) =>
            {
                if let Ok(call) =
                    Parser::new(&PostgreSqlDialect {}).try_with_sql(&format!("to_regclass({inner})")).and_then(|mut p| p.parse_expr())
                {
                    *expr = call;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
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
    use datafusion::sql::sqlparser::ast::{Function, FunctionArg, FunctionArgExpr, FunctionArgumentList};
    let quoted = |s: &str| Expr::Value(Value::SingleQuotedString(s.to_owned()).with_empty_span());
    let args = [text, quoted(from), quoted(to)].map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e)));
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new("replace"))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args: args.into(), clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
