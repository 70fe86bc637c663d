use super::*;
use proptest::prelude::*;

/// The rule of MQTT 5.0, 4.7, level by level and without any care for speed.
pub(crate) fn naive_match(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", f @ ..], [_, t @ ..]) => levels(f, t),
            ([a, f @ ..], [b, t @ ..]) => a == b && levels(f, t),
            _ => false,
        }
    }
    let wild_first = filter.starts_with(['+', '#']);
    let split = |s| str::split(s, '/').collect::<Vec<_>>();
    !(wild_first && topic.starts_with('$')) && levels(&split(filter), &split(topic))
}

/// Filters and topics over a small alphabet, so that they meet often; empty levels and `$` included.
pub(crate) fn any_topic() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "", "$x", "è"]), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has one byte at least", |t| !t.is_empty())
}

pub(crate) fn any_filter() -> impl Strategy<Value = String> {
    (prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "", "$x", "è", "+"]), 0..4), any::<bool>())
        .prop_map(|(mut levels, all)| {
            if all || levels.is_empty() {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a filter has one byte at least", |t| !t.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn matching_equals_the_naive_rule(filter in any_filter(), topic in any_topic()) {
        let parsed = TopicFilter::parse(&filter).unwrap();
        prop_assert_eq!(parsed.matches(&topic), naive_match(&filter, &topic));
    }

    #[test]
    fn a_covering_filter_matches_whatever_the_covered_one_does(wide in any_filter(), narrow in any_filter(), topic in any_topic()) {
        let (w, n) = (TopicFilter::parse(&wide).unwrap(), TopicFilter::parse(&narrow).unwrap());
        if w.covers(&n) && n.matches(&topic) {
            prop_assert!(w.matches(&topic));
        }
    }
}

#[test]
fn the_examples_of_the_standard() {
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/monitor", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor", true),
        ("ab", "a", false),
        ("a", "ab", false),
        ("a+", "a", false),
    ] {
        assert_eq!(TopicFilter::parse(filter).is_some_and(|f| f.matches(topic)), expected, "{filter} {topic}");
    }
}

#[test]
fn rights_cover_only_what_they_include() {
    for (right, asked, expected) in [
        ("a/#", "a/#", true),
        ("a/#", "a", true),
        ("a/#", "a/+/b", true),
        ("a/+", "a/#", false),
        ("a/+", "a/+", true),
        ("a/b", "a/+", false),
        ("#", "$SYS/#", false),
        ("#", "#", true),
        ("+/b", "a/b", true),
    ] {
        let (r, a) = (TopicFilter::parse(right).unwrap(), TopicFilter::parse(asked).unwrap());
        assert_eq!(r.covers(&a), expected, "{right} {asked}");
    }
}

#[test]
fn bad_filters_and_names_are_refused() {
    for bad in ["", "a+", "a/#/b", "##", "+a/b", "a\0", &"x".repeat(TOPIC_LEN_MAX + 1)] {
        assert_eq!(TopicFilter::parse(bad), None, "{bad:?}");
    }
    assert_eq!(name(b""), Err(TopicError::Empty));
    assert_eq!(name(b"a/+"), Err(TopicError::Wildcard));
    assert_eq!(name(b"a\0b"), Err(TopicError::NotText));
    assert_eq!(name(&[0xff, 0xfe]), Err(TopicError::NotText));
    assert_eq!(name(&[b'a'; TOPIC_LEN_MAX + 1]), Err(TopicError::TooLong(TOPIC_LEN_MAX + 1)));
    assert_eq!(name("città/1".as_bytes()), Ok("città/1"));
}
