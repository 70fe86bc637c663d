//! An additional file with its detectors writing somewhere else. Only attributes of detectors change; every other byte stays.

/// Tags whose output is read here.
const TAGS: [&str; 2] = ["e1Detector", "inductionLoop"];

/// The text with `file` (and, when given, the interval) of each induction loop replaced.
pub(super) fn redirect(text: &str, file: &str, interval_secs: Option<f64>) -> String {
    let mut out = String::with_capacity(text.len() + 1_024);
    let mut rest = text;
    while let Some((start, tag)) = next(rest) {
        // What is commented out stays so: a detector in a comment may end with the comment's own end.
        if let Some(comment) = rest.find("<!--").filter(|at| *at < start) {
            let end = rest[comment..].find("-->").map_or(rest.len(), |n| comment + n + 3);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let end = rest[start..].find('>').map_or(rest.len(), |n| start + n);
        let inside = rest[start + 1 + tag.len()..end].trim_end();
        let (inside, closing) = inside.strip_suffix('/').map_or((inside, ""), |i| (i, "/"));
        let mut inside = without(inside, "file");
        let mut more = format!(" file=\"{file}\"");
        if let Some(secs) = interval_secs {
            inside = without(&without(&inside, "freq"), "period");
            more.push_str(&format!(" period=\"{secs}\""));
        }
        out.push_str(&rest[..start]);
        out.push_str(&format!("<{tag}{}{more}{closing}", inside.trim_end()));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn next(text: &str) -> Option<(usize, &'static str)> {
    let starts = |tag: &'static str| {
        text.match_indices(tag).map(|(at, _)| at).find_map(|at| {
            let opened = at.checked_sub(1).filter(|open| text.as_bytes()[*open] == b'<')?;
            text[at + tag.len()..].starts_with(char::is_whitespace).then_some((opened, tag))
        })
    };
    TAGS.into_iter().filter_map(starts).min()
}

/// Without one attribute.
fn without(inside: &str, name: &str) -> String {
    let bytes = inside.as_bytes();
    for (at, _) in inside.match_indices(name) {
        let alone = at > 0 && bytes[at - 1].is_ascii_whitespace();
        let Some(value) = inside[at + name.len()..].trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        let Some(quote) = value.chars().next().filter(|q| alone && matches!(q, '"' | '\'')) else { continue };
        let Some(end) = value[1..].find(quote) else { continue };
        return format!("{}{}", inside[..at].trim_end(), &value[end + 2..]);
    }
    inside.to_owned()
}
