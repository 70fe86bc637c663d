//! Sizes of files and functions, and words that must not be committed.

use std::path::Path;

const FILE_LINES_MAX: usize = 500;
const FN_LINES_MAX: usize = 70;

pub(super) fn check(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = path.display();
    let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if matches!(kind, "rs" | "ts" | "py" | "mjs") && text.lines().count() > FILE_LINES_MAX {
        faults.push(format!("{shown}: {} lines, at most {FILE_LINES_MAX}", text.lines().count()));
    }
    if kind == "rs" {
        faults.extend(
            functions(text)
                .into_iter()
                .filter(|f| f.lines > FN_LINES_MAX)
                .map(|f| format!("{shown}:{}: fn {} has {} lines, at most {FN_LINES_MAX}", f.at, f.name, f.lines)),
        );
        if !is_test(path) {
            faults.extend(words(path, text));
        }
    }
    // Written in two halves so that this file does not find itself.
    for bad in [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/fa", "rm/")] {
        faults.extend(
            text.lines().enumerate().filter(|(_, l)| l.contains(bad)).map(|(n, _)| format!("{shown}:{}: a machine's path ({bad})", n + 1)),
        );
    }
    faults
}

fn is_test(path: &Path) -> bool {
    path.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "it" | "fuzz" | "benches" | "bench")))
        || path.ends_with("tests.rs")
        || path.ends_with("testing.rs")
}

fn words(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.contains("#[cfg(test)]") {
            break;
        }
        for bad in [".unwrap()", concat!("to", "do!("), concat!("unimpl", "emented!("), "dbg!("] {
            if line.contains(bad) && !line.trim_start().starts_with("//") && !line.contains("concat!(") && !path.ends_with("shape.rs") {
                faults.push(format!("{}:{}: {bad} outside tests", path.display(), n + 1));
            }
        }
    }
    faults
}

struct Function {
    name: String,
    at: usize,
    lines: usize,
}

/// Functions by indentation: rustfmt closes one with a brace at the column of its `fn`.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let starts = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "const fn ",
            "pub const fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "pub(crate) async fn ",
            "pub(super) async fn ",
        ];
        let Some(start) = starts.iter().find(|s| code.starts_with(**s)) else { continue };
        let name = code[start.len()..].split(['(', '<']).next().unwrap_or_default().to_owned();
        let declared_only =
            lines[n..].iter().map(|l| l.trim_end()).find(|l| l.ends_with(['{', '}', ';'])).is_some_and(|l| l.ends_with(';'));
        if declared_only {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[n..].iter().position(|l| *l == close) else { continue };
        out.push(Function { name, at: n + 1, lines: length + 1 });
    }
    out
}
