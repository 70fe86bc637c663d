//! From the text of a codec to one function expression that the harness can call again and again.
//!
//! A codec is a script (TS013, The Things Stack, ChirpStack) or a module that only exports. It becomes the body of an arrow
//! function, which has no `arguments` and no prototype that a codec could keep things in. Line numbers stay.

/// Bytes of one codec; the largest public ones have 100 kB.
pub(super) const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Functions that the harness may call, as the codec declares them.
const FUNCTIONS: [&str; 7] = ["decodeUplink", "Decode", "Decoder", "decodeDownlink", "encodeDownlink", "Encode", "Encoder"];

/// The codec as a script, with its exports turned into plain declarations, and whether it was a module.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    module: bool,
}

impl Script {
    /// # Errors
    /// Imports are not resolved here: a codec is one file.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!("the codec has {} bytes; at most {SOURCE_BYTES_MAX} are read", source.len()));
        }
        let mut text = String::with_capacity(source.len() + 64);
        let (mut module, mut list) = (false, false);
        for (n, line) in source.trim_start_matches('\u{feff}').lines().enumerate() {
            let bare = line.trim_start();
            if bare.starts_with("import ") || bare.starts_with("import{") {
                return Err(format!("line {}: import is not resolved; put everything into one file", n + 1));
            }
            if list {
                list = !close(&mut text, line);
            } else if let Some(rest) = line.strip_prefix("export").filter(|r| r.starts_with([' ', '{'])) {
                module = true;
                list = export(rest.trim_start(), &mut text);
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        Ok(Self { text, module })
    }

    /// The text alone. It is run once by itself: what parses so cannot close the function that is put around it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_strict(&self) -> bool {
        self.module
    }

    /// The function that the harness calls: it evaluates the codec anew and returns its functions.
    pub(super) fn function(&self) -> String {
        let strict = if self.module { "\"use strict\";" } else { "" };
        // Parameters only for those who use them: a codec may declare the names itself.
        let uses = self.text.contains("exports");
        let parameters = if uses { "(module, exports)" } else { "()" };
        let found: Vec<String> = FUNCTIONS.iter().map(|f| format!("{f}: typeof {f} === \"function\" ? {f} : undefined")).collect();
        format!("({parameters} => {{{strict}{}\nreturn {{ {} }}; }})", self.text, found.join(", "))
    }
}

/// One export declaration; whether a list of names is still open.
fn export(rest: &str, out: &mut String) -> bool {
    if let Some(value) = rest.strip_prefix("default").filter(|v| v.starts_with([' ', '{', '('])) {
        let value = value.trim_start();
        match declared(value) {
            // A function keeps its name, which other functions may call.
            Some(name) => out.push_str(&format!("exports.default = {name}; {value}")),
            None => out.push_str(&format!("exports.default = {value}")),
        }
        return false;
    }
    if let Some(names) = rest.strip_prefix('{') {
        return !close(out, names);
    }
    out.push_str(rest);
    false
}

/// The name of a function declaration.
fn declared(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("async ").unwrap_or(text).trim_start().strip_prefix("function")?.trim_start_matches([' ', '*']);
    let name = rest.split('(').next()?.trim();
    (!name.is_empty()).then_some(name)
}

/// Names up to `}`: `a, b as decodeUplink }`. The exports are the declarations of these names.
fn close(out: &mut String, line: &str) -> bool {
    let (names, closed) = line.split_once('}').map_or((line, false), |(names, _)| (names, true));
    for name in names.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let (local, exported) = name.split_once(" as ").map_or((name, name), |(l, e)| (l.trim(), e.trim()));
        let plain = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
        if plain(local) && plain(exported) {
            out.push_str(&format!("exports.{exported} = {local}; "));
        }
    }
    closed
}
