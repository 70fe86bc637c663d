use super::*;

fn fails(query: &str, read: impl Fn(&Params<'_>) -> Result<(), ApiError>) -> String {
    let known = ["bbox", "polygon", "near", "limit", "as_of", "product", "tenant"];
    let error = Params::parse(Some(query), &known, &[]).and_then(|p| read(&p)).unwrap_err();
    let ApiError::Parameter { name, rule, hint, .. } = error else { panic!("{error}") };
    format!("{name}: {rule} {}", hint.unwrap_or_default())
}

#[test]
fn misspelt_and_repeated_names_are_refused() {
    assert!(fails("bbbox=1", |_| Ok(())).contains("did you mean 'bbox'?"));
    assert!(fails("xyz=1", |_| Ok(())).contains("known here: bbox"));
    assert!(fails("limit=1&limit=2", |_| Ok(())).contains("given twice"));
    assert!(Params::parse(Some("key=a&key=b"), &["key"], &["key"]).is_ok());
}

#[test]
fn every_shape_names_its_rule() {
    let bbox = |p: &Params<'_>| p.bbox().map(drop);
    for (text, word) in [
        ("bbox=1,2,3", "four numbers"),
        ("bbox=1,2,3,x", "not a number"),
        ("bbox=1,2,3,NaN", "not a number"),
        ("bbox=3,2,1,4", "corners swapped"),
        ("bbox=1,2,3,400", "off the globe"),
    ] {
        assert!(fails(text, bbox).contains(word), "{text}");
    }
    let polygon = |p: &Params<'_>| p.polygon().map(drop);
    assert!(fails("polygon=1 2,3 4", polygon).contains("has 2 vertices"));
    assert!(fails("polygon=1 2,3 4,5", polygon).contains("vertex 3 '5'"));
    let many = format!("polygon={}", vec!["1 2"; POLYGON_VERTICES_MAX + 1].join(","));
    assert!(fails(&many, polygon).contains("too many vertices"));
    let near = |p: &Params<'_>| p.near().map(drop);
    for bad in ["near=1,2", "near=1,2,50001", "near=1,2,0", "near=1,2,-5", "near=1,91,5"] {
        assert!(fails(bad, near).contains("up to 50000 m"), "{bad}");
    }
    assert!(fails("as_of=yesterday", |p| p.time("as_of").map(drop)).contains("RFC 3339"));
    assert!(fails("limit=0", |p| p.number("limit", 1..=5, 1).map(drop)).contains("from 1 to 5"));
    assert!(fails("product=A", |p| p.products().map(drop)).contains("lower-case"));
}

#[test]
fn good_values_are_read() {
    let p = Params::parse(
        Some("bbox=11.2,44.4,11.5,44.6&as_of=2024-03-03T08:00:00+01:00&near=11,44,50000&product=a,b&tenant="),
        &["bbox", "as_of", "near", "product", "tenant"],
        &[],
    )
    .unwrap();
    assert_eq!(p.bbox().unwrap(), Some([11.2, 44.4, 11.5, 44.6]));
    assert_eq!(p.time("as_of").unwrap().unwrap().to_rfc3339(), "2024-03-03T07:00:00Z", "a '+' that was not encoded");
    assert_eq!(p.near().unwrap(), Some([11.0, 44.0, 50_000.0]));
    assert_eq!(p.products().unwrap().unwrap().len(), 2);
    assert_eq!(p.tenant().unwrap(), None, "empty is absent");
}
