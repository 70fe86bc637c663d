use super::*;
use proptest::prelude::*;

#[test]
fn wanted_elements_come_one_by_one_and_the_rest_is_passed_by() {
    let text =
        r#"<?xml version="1.0"?><s:Env xmlns:s="u" time="t0"><a><r id="1"><v>x &amp; <![CDATA[<y>]]></v></r></a><b/><r id="2"/></s:Env>"#;
    let mut elements = Elements::new(text.as_bytes());
    let mut tree = Tree::default();
    assert!(elements.next(&mut tree, |name| name == "r").unwrap());
    assert_eq!((tree.root().attribute("id"), tree.root().text_of("v")), (Some("1"), Some("x & <y>")));
    assert_eq!(elements.root("time"), Some("t0"));
    assert!(elements.next(&mut tree, |name| name == "r").unwrap());
    assert_eq!((tree.root().attribute("id"), tree.root().children().count()), (Some("2"), 0));
    assert!(!elements.next(&mut tree, |name| name == "r").unwrap());
}

#[test]
fn inside_stays_inside() {
    let tree = whole(b"<r><a><x>1</x><b><x>2</x></b></a><x>3</x><c/></r>").unwrap();
    let a = tree.root().child("a").unwrap();
    assert_eq!(a.inside().filter(|e| e.name() == "x").map(Element::text).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(tree.root().inside().count(), 6);
    assert_eq!(tree.root().child("c").unwrap().inside().count(), 0);
    assert_eq!(tree.root().path(&["a", "b", "x"]).unwrap().text(), "2");
}

#[test]
fn what_is_not_xml_is_refused_without_quoting_it() {
    let deep = "<a>".repeat(100);
    for (text, want) in [
        ("", "no element"),
        ("hello", "no element"),
        ("<a><b></a>", "closed"),
        ("<a>", "ends before"),
        ("<a/><b/>", "second root"),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "document type"),
        ("<a>&secret;</a>", "entity"),
        ("<a b='1' b='2'/>", "twice"),
        (&deep, "inside each other"),
    ] {
        let e = whole(text.as_bytes()).unwrap_err().to_string();
        assert!(e.contains(want) && !e.contains("secret"), "{text}: {e}");
    }
    assert!(whole(b"<a>\xff</a>").unwrap_err().rule.contains("UTF-8"));
    let long = format!("<a>{}</a>", "x".repeat(EVENT_BYTES_MAX + 1));
    assert!(whole(long.as_bytes()).unwrap_err().rule.contains("more than"));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(whole(&bytes));
    }

    #[test]
    fn any_markup_never_panics(text in "(<[/!?a-c]?[a-c:]{0,3}( [a-c]=['\"][&a-c;#0-9]{0,4}['\"])?/?>|[a-c&;#x0-9 ]{0,4}|<!\\[CDATA\\[|\\]\\]>){0,30}") {
        if let Ok(tree) = whole(text.as_bytes()) {
            prop_assert_eq!(tree.root().inside().count(), tree.root().inside().map(|e| e.name().len().min(1)).sum::<usize>());
        }
    }
}
