//! Standard output of the commands: for people and pipes, never for logs.

use std::io::Write as _;

/// One line; a reader that went away is not an error.
pub fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").ok();
}

/// A line that the next one replaces, for progress on a terminal.
pub fn progress(line: &str) {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        let mut err = std::io::stderr().lock();
        write!(err, "\r\x1b[2K{line}").and_then(|()| err.flush()).ok();
    }
}

/// Ends a progress line.
pub fn progress_end() {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        writeln!(std::io::stderr().lock()).ok();
    }
}
