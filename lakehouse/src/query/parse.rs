//! From text to statements: PostgreSQL's dialect, limits of size and depth, `AS OF`, and the list of what may run.

use super::{asof, catalogue_sql};
use crate::LakehouseError;
use datafusion::sql::sqlparser::{
    ast::{Ident, ObjectName, ObjectNamePart, Statement, TableAlias, TableFactor, VisitMut, VisitorMut},
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word},
};
use schemas::Timestamp;
use std::ops::ControlFlow;

/// Longest statement, in bytes.
const TEXT_MAX: usize = 256 << 10;
/// Most tokens, and most operators: a chain of operators is as deep a tree as it is long.
const TOKENS_MAX: usize = 60_000;
const OPERATORS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 50;
/// Stands between a table's name and its instant or version in the names that `AS OF` becomes.
pub(super) const AT: char = '@';

/// A statement that may run.
#[derive(Debug, Clone)]
pub(crate) enum Parsed {
    Plan(Box<Statement>),
    /// `DESCRIBE HISTORY table`: the parts of the name.
    History(Vec<String>),
}

/// The statement of a text that holds exactly one.
pub(super) fn parse_one(sql: &str) -> Result<Parsed, LakehouseError> {
    only(statements(sql, false)?)
}

/// The same where `?` stands for the next parameter, as drivers of JDBC and ODBC write it.
pub(crate) fn parse_numbered(sql: &str) -> Result<Parsed, LakehouseError> {
    only(statements(sql, true)?)
}

fn only(mut all: Vec<Parsed>) -> Result<Parsed, LakehouseError> {
    match (all.pop(), all.is_empty()) {
        (Some(Parsed::Plan(statement)), true) => {
            allow(&statement)?;
            Ok(Parsed::Plan(statement))
        }
        (Some(one), true) => Ok(one),
        (None, _) => Err(plain("the statement is empty")),
        (Some(_), false) => Err(plain("one statement at a time: send them one by one")),
    }
}

/// All statements of a text, whatever they are.
pub(crate) fn parse_statements(sql: &str) -> Result<Vec<Parsed>, LakehouseError> {
    statements(sql, false)
}

fn statements(sql: &str, numbered: bool) -> Result<Vec<Parsed>, LakehouseError> {
    if sql.len() > TEXT_MAX {
        return Err(LakehouseError::Limit(format!("the statement has {} bytes, the most is {TEXT_MAX}", sql.len())));
    }
    let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().map_err(|e| at(e.message, Some(e.location)))?;
    if numbered {
        number_questions(&mut tokens);
    }
    bound(&tokens)?;
    if let Some(name) = history(&tokens) {
        return Ok(vec![Parsed::History(name)]);
    }
    // Catalogue queries of psql and other tools need whole passages replaced, which costs the positions of errors.
    if tokens.iter().any(|t| matches!(&t.token, Token::Word(w) if w.value.to_lowercase().starts_with("pg_")))
        && let Ok(Some(list)) = catalogue_sql::parse(sql)
    {
        return Ok(list.into_iter().map(|s| Parsed::Plan(Box::new(s))).collect());
    }
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(rewrite_as_of(tokens)?);
    let list = parser.parse_statements().map_err(|e| placed(parse_error(e), sql))?;
    Ok(list
        .into_iter()
        .map(|mut statement| {
            let _ = VisitMut::visit(&mut statement, &mut AliasDated);
            asof::rewrite(&mut statement);
            Parsed::Plan(Box::new(catalogue_sql::rewrite(statement)))
        })
        .collect())
}

/// Refuses everything but reading. The plan is checked again for what a query can hide.
pub(crate) fn allow(statement: &Statement) -> Result<(), LakehouseError> {
    match statement {
        Statement::Query(_)
        | Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowFunctions { .. } => Ok(()),
        Statement::Explain { statement, .. } => allow(statement),
        other => {
            let text = other.to_string();
            let verb: String = text.split_whitespace().take(1).collect();
            Err(LakehouseError::Forbidden(format!("{verb} is not allowed: SQL here is read only, use SELECT, EXPLAIN, DESCRIBE or SHOW")))
        }
    }
}

/// `?, ?` is `$1, $2`, unless the statement numbers its parameters itself.
fn number_questions(tokens: &mut [TokenWithSpan]) {
    if tokens.iter().any(|t| matches!(t.token, Token::Placeholder(_))) {
        return;
    }
    for (n, t) in tokens.iter_mut().filter(|t| t.token == Token::Question).enumerate() {
        t.token = Token::Placeholder(format!("${}", n + 1));
    }
}

fn bound(tokens: &[TokenWithSpan]) -> Result<(), LakehouseError> {
    let (mut all, mut operators) = (0, 0);
    for t in tokens {
        match &t.token {
            Token::Whitespace(_) => continue,
            Token::Word(w) => {
                operators += usize::from(matches!(
                    w.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::IS
                        | Keyword::AT
                        | Keyword::UNION
                        | Keyword::EXCEPT
                        | Keyword::INTERSECT
                        | Keyword::JOIN
                ));
            }
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Comma | Token::Period | Token::LParen | Token::RParen => {}
            _ => operators += 1,
        }
        all += 1;
    }
    if all > TOKENS_MAX || operators > OPERATORS_MAX {
        return Err(LakehouseError::Limit(format!(
            "the statement has {all} words and {operators} operators, the most are {TOKENS_MAX} and {OPERATORS_MAX}"
        )));
    }
    Ok(())
}

/// `DESCRIBE HISTORY a.b`
fn history(tokens: &[TokenWithSpan]) -> Option<Vec<String>> {
    let mut words = tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_) | Token::SemiColon));
    let Token::Word(first) = words.next()? else { return None };
    let Token::Word(second) = words.next()? else { return None };
    if !matches!(first.keyword, Keyword::DESCRIBE | Keyword::DESC) || !second.value.eq_ignore_ascii_case("history") {
        return None;
    }
    let mut name = Vec::new();
    for t in words {
        match t {
            Token::Word(w) => name.push(w.value.to_lowercase()),
            Token::Period => {}
            _ => return None,
        }
    }
    (!name.is_empty()).then_some(name)
}

/// Which clause begins at token `i`, and how many tokens its keywords take.
fn clause(tokens: &[TokenWithSpan], i: usize) -> Option<(bool, usize)> {
    let word = |n: usize| match tokens.get(i + n).map(|t| &t.token) {
        Some(Token::Word(w)) if w.quote_style.is_none() => w.keyword,
        _ => Keyword::NoKeyword,
    };
    match (word(0), word(1), word(2), word(3)) {
        (Keyword::FOR, Keyword::SYSTEM_TIME, Keyword::AS, Keyword::OF) => Some((false, 4)),
        (Keyword::TIMESTAMP, Keyword::AS, Keyword::OF, _) => Some((false, 3)),
        (Keyword::VERSION, Keyword::AS, Keyword::OF, _) => Some((true, 3)),
        _ => None,
    }
}

/// Turns `name FOR SYSTEM_TIME AS OF '...'` into `"name@t<micros>"` and `name VERSION AS OF 3` into `"name@v3"`.
fn rewrite_as_of(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, LakehouseError> {
    let tokens: Vec<_> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut i = 0;
    while i < tokens.len() {
        let Some((version, keywords)) = clause(&tokens, i) else {
            out.push(tokens[i].clone());
            i += 1;
            continue;
        };
        let mut value = i + keywords;
        if matches!(tokens.get(value).map(|t| &t.token), Some(Token::Word(w)) if matches!(w.keyword, Keyword::TIMESTAMP | Keyword::TIMESTAMPTZ | Keyword::DATE))
        {
            value += 1;
        }
        let suffix = match tokens.get(value) {
            // `SELECT version AS of FROM t` names a column; so does a comma after it.
            None => None,
            Some(t)
                if matches!(&t.token, Token::Comma | Token::EOF) || matches!(&t.token, Token::Word(w) if w.keyword == Keyword::FROM) =>
            {
                None
            }
            Some(t) if version => Some(version_suffix(t)?),
            Some(t) => Some(instant_suffix(t)?),
        };
        match (suffix, out.last_mut()) {
            (Some(suffix), Some(TokenWithSpan { token: Token::Word(name), .. })) => {
                let base = if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() };
                *name = Word { value: format!("{base}{AT}{suffix}"), quote_style: Some('"'), keyword: Keyword::NoKeyword };
                i = value + 1;
            }
            (Some(_), _) => return Err(at("AS OF must follow the name of a table".into(), Some(tokens[i].span.start))),
            (None, _) => {
                out.push(tokens[i].clone());
                i += 1;
            }
        }
    }
    Ok(out)
}

fn version_suffix(t: &TokenWithSpan) -> Result<String, LakehouseError> {
    match &t.token {
        Token::Number(digits, _) if digits.parse::<i64>().is_ok() => Ok(format!("v{digits}")),
        other => Err(at(
            format!("VERSION AS OF takes a whole number, not {other}; DESCRIBE HISTORY <table> lists the versions"),
            Some(t.span.start),
        )),
    }
}

fn instant_suffix(t: &TokenWithSpan) -> Result<String, LakehouseError> {
    let wrong = |what: String| at(format!("AS OF takes an instant such as '2024-03-01T00:00:00Z', not {what}"), Some(t.span.start));
    let Token::SingleQuotedString(text) = &t.token else { return Err(wrong(t.token.to_string())) };
    // A bare date is its first instant in UTC; a blank between date and time is what SQL writes.
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.replacen(' ', "T", 1) };
    let instant = Timestamp::parse(&full).or_else(|_| Timestamp::parse(&format!("{full}Z"))).map_err(|_| wrong(format!("'{text}'")))?;
    Ok(format!("t{}", instant.0))
}

/// Gives a dated table without an alias its plain name, so that `air_quality.no2` still names its column.
struct AliasDated;

impl VisitorMut for AliasDated {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name: ObjectName(parts), alias, .. } = factor
            && alias.is_none()
            && let Some(ObjectNamePart::Identifier(last)) = parts.last()
            && let Some((base, _)) = last.value.split_once(AT)
        {
            *alias = Some(TableAlias { explicit: true, name: Ident::with_quote('"', base), columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

fn plain(message: &str) -> LakehouseError {
    LakehouseError::Sql { message: message.to_owned(), line: None, column: None, hint: None }
}

fn at(message: String, place: Option<Location>) -> LakehouseError {
    let place = place.filter(|p| p.line > 0);
    LakehouseError::Sql { message, line: place.map(|p| p.line), column: place.map(|p| p.column), hint: None }
}

/// sqlparser writes the place at the end of its message: ` at Line: 1, Column: 8`.
pub(super) fn parse_error(e: ParserError) -> LakehouseError {
    let text = match e {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => return LakehouseError::Limit(format!("the statement is nested deeper than {DEPTH_MAX}")),
    };
    let place = text.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message.to_owned(), Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }))
    });
    match place {
        Some((message, place)) => at(message, Some(place)),
        None => at(text, None),
    }
}

/// What is missing at the end is missing after the last character.
fn placed(e: LakehouseError, sql: &str) -> LakehouseError {
    match e {
        LakehouseError::Sql { message, line: None, column: None, hint } if message.ends_with("found: EOF") => {
            let text = sql.trim_end();
            let last = text.rsplit('\n').next().unwrap_or_default().chars().count();
            let line = text.matches('\n').count() as u64 + 1;
            LakehouseError::Sql { message, line: Some(line), column: Some(last as u64 + 1), hint }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
