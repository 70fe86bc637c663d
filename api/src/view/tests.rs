use crate::testing::{Answer, FakeCity, NOW, encoded, get, request, send, table};
use axum::Router;
use schemas::Value;

const A: &str = "urn:ngsi-ld:OffStreetParking:bologna:a";

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let last = |f: &serde_json::Value| f["id"].as_str().unwrap().rsplit_once("ngsi-ld:").unwrap().1.to_owned();
    json["features"].as_array().unwrap().iter().map(last).collect()
}

async fn listed(router: &Router, user: &str, query: &str) -> Vec<String> {
    ids(&get(router, user, &format!("/api/twin/entities?{query}")).await)
}

#[tokio::test]
async fn a_feature_has_its_values_time_and_origin() {
    let router = FakeCity::new().router();
    let answer = get(&router, "", "/api/twin/entities?product=parking&limit=1&near=11.34,44.49,10").await;
    assert_eq!(answer.header("content-type"), "application/geo+json");
    let json = answer.json();
    assert_eq!(json["type"], "FeatureCollection");
    assert_eq!((json["as_of"].as_str(), json["position"].as_u64()), (Some("2024-03-03T08:00:00Z"), Some(4)));
    assert_eq!(json["next"], serde_json::Value::Null);
    assert_eq!(
        json["features"][0],
        serde_json::json!({"type": "Feature", "id": A, "geometry": {"type": "Point", "coordinates": [11.34, 44.49]}, "properties": {
            "product": "parking", "tenant": "bologna", "type": "OffStreetParking", "name": "a", "quality": "valid", "source": "test",
            "freshness": "fresh", "observed_at": "2024-03-03T08:00:00Z", "received_at": "2024-03-03T08:00:00Z", "simulated": true,
            "values": {"free": 10}}})
    );
}

#[tokio::test]
async fn areas_types_and_tenants_select() {
    let router = FakeCity::new().router();
    let parks = |tail: &[&str]| tail.iter().map(|t| format!("OffStreetParking:bologna:{t}")).collect::<Vec<_>>();
    assert_eq!(listed(&router, "", "product=parking&bbox=11.345,44.495,11.355,44.505").await, parks(&["b"]));
    let ring = encoded("11.335 44.485,11.345 44.485,11.345 44.495,11.335 44.495");
    assert_eq!(listed(&router, "", &format!("product=parking&polygon={ring}")).await, parks(&["a"]));
    assert_eq!(listed(&router, "", "near=11.36,44.51,100").await, parks(&["c"]));
    assert_eq!(listed(&router, "admin", "type=Bin&tenant=modena").await, ["Bin:modena:1"]);
    assert_eq!(listed(&router, "admin", "product=parking&tenant=modena").await.len(), 0);
}

/// What each sees of four tables, two of them public.
#[tokio::test]
async fn lists_show_each_caller_its_own_tables() {
    let router = FakeCity::new().router();
    for (user, expected) in [("", 4), ("gateway", 4), ("viewer", 5), ("modena_analyst", 5), ("analyst", 6), ("admin", 6)] {
        assert_eq!(listed(&router, user, "").await.len(), expected, "{user}");
        let products = get(&router, user, "/api/products").await.json();
        let entities: u64 = products.as_array().unwrap().iter().map(|p| p["entities"].as_u64().unwrap()).sum();
        assert_eq!(entities, expected as u64, "{user}");
    }
}

#[tokio::test]
async fn internal_and_personal_fields_stay_inside() {
    let router = FakeCity::new().router();
    let text = async |user: &str, uri: &str| get(&router, user, uri).await.text();
    let modena = "/api/twin/entities/urn:ngsi-ld:Bin:modena:1";
    for user in ["", "gateway", "viewer"] {
        for uri in [modena, "/api/twin/entities?product=bins&tenant=modena", "/api/products?tenant=modena"] {
            let shown = text(user, uri).await;
            assert!(shown.contains("fill"), "{user} {uri}: {shown}");
            assert!(!["Segreta", "weight", "Mario", "citizen"].iter().any(|w| shown.contains(w)), "{user} {uri}: {shown}");
        }
    }
    let own = text("modena_analyst", modena).await;
    assert!(own.contains("weight") && own.contains("\"name\":\"Via Segreta\"") && !own.contains("Mario"), "{own}");
    assert!(own.contains(r#""key":{"side":"left"}"#), "{own}");
}

#[tokio::test]
async fn pages_join_to_the_whole_across_products() {
    let router = FakeCity::new().router();
    let whole = listed(&router, "admin", "").await;
    for limit in 1..=6 {
        let (mut joined, mut cursor) = (Vec::new(), String::new());
        for _ in 0..10 {
            let answer = get(&router, "admin", &format!("/api/twin/entities?limit={limit}{cursor}")).await;
            let page = ids(&answer);
            assert!(!page.is_empty() && page.len() <= limit);
            joined.extend(page);
            let Some(next) = answer.json()["next"].as_str().map(str::to_owned) else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(joined, whole, "limit {limit}");
    }
    let bad = get(&router, "", "/api/twin/entities?cursor=xyz").await;
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("'next' of the page before"));
}

#[tokio::test]
async fn as_of_reads_the_past_once_for_all_tiles() {
    let city = FakeCity::new();
    let router = city.router();
    let uri = "/api/twin/entities?product=parking&as_of=2024-03-01T00:00:00Z&known_as_on=2024-03-02T00:00:00Z";
    let answer = get(&router, "", uri).await;
    assert_eq!(ids(&answer), ["OffStreetParking:bologna:a"]);
    assert_eq!(answer.json()["as_of"], "2024-03-01T00:00:00Z");
    assert_eq!(answer.json()["features"][0]["properties"]["freshness"], "fresh", "as of then");
    let asked = city.past.lock()[0].clone();
    assert_eq!(asked.tables, [table("bologna.parking")]);
    assert_eq!(asked.known_as_on.unwrap().to_rfc3339(), "2024-03-02T00:00:00Z");
    for x in 0..4 {
        let tile = format!("/api/twin/tiles/8/{x}/92.mvt?product=parking&as_of=2024-03-01T00:00:00Z");
        assert_eq!(get(&router, "", &tile).await.header("cache-control"), "private, max-age=30");
    }
    assert_eq!(city.past.lock().len(), 2, "one more for four tiles");
    // A box is cut out of the whole that is there; without it, only the box is asked for.
    let boxed = |at: &str| format!("/api/twin/entities?product=parking&bbox=11.3,44.4,11.4,44.6&as_of={at}");
    assert_eq!(ids(&get(&router, "", &boxed("2024-03-01T00:00:00Z")).await).len(), 1);
    assert_eq!(city.past.lock().len(), 2);
    get(&router, "", &boxed("2024-02-01T00:00:00Z")).await;
    assert_eq!(city.past.lock()[2].bbox, Some([11.3, 44.4, 11.4, 44.6]));
    city.advance_secs(31);
    get(&router, "", "/api/twin/tiles/8/0/92.mvt?product=parking&as_of=2024-03-01T00:00:00Z").await;
    assert_eq!(city.past.lock().len(), 4, "late rows are seen after half a minute");
}

#[tokio::test]
async fn cells_have_figures_and_unknown_fields_a_suggestion() {
    let router = FakeCity::new().router();
    let json = get(&router, "", "/api/twin/h3?product=parking&resolution=4").await.json();
    assert_eq!(json["field"], "free");
    let cells = json["cells"].as_array().unwrap();
    let (n, sum) = cells.iter().fold((0, 0.0), |(n, s), c| {
        let own = c["n"].as_u64().unwrap();
        (n + own, s + own as f64 * c["mean"].as_f64().unwrap())
    });
    assert_eq!((n, sum), (3, 60.0));
    assert!(cells[0]["h3"].as_str().unwrap().starts_with("84"));
    for (uri, word) in [
        ("/api/twin/h3", "needs one product"),
        ("/api/twin/h3?product=parking,bins", "takes one"),
        ("/api/twin/h3?product=parking&field=fre", "did you mean 'free'?"),
        ("/api/twin/h3?product=parking&resolution=13", "from 0 to 12"),
        ("/api/twin/entities?type=Bim", "did you mean 'Bin'?"),
        ("/api/twin/entities/parking", "a URN"),
        ("/api/twin/tiles/1/0/0?product=parking", "end in .mvt"),
        ("/api/twin/tiles/1/9/0.mvt?product=parking", "below 2 to the power"),
    ] {
        let answer = get(&router, "", uri).await;
        assert_eq!(answer.status, 400, "{uri}");
        assert!(answer.text().contains(word), "{uri}: {}", answer.text());
    }
    let unknown = get(&router, "", "/api/twin/h3?product=parkin").await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["hint"].as_str()), (404, Some("did you mean 'parking'?")));
}

async fn tile(router: &Router, etag: &str) -> Answer {
    let mut r = request("GET", "/api/twin/tiles/14/8707/5922.mvt?product=parking", "");
    if !etag.is_empty() {
        r.headers_mut().insert("if-none-match", etag.parse().unwrap());
    }
    send(router, "", r).await
}

#[tokio::test]
async fn tiles_are_not_sent_twice() {
    let city = FakeCity::new();
    let router = city.router();
    // The tile of car park a at zoom 14.
    let first = get(&router, "", "/api/twin/tiles/14/8708/5916.mvt?product=parking").await;
    assert_eq!(first.header("content-type"), "application/vnd.mapbox-vector-tile");
    let drawn = tile(&router, "").await;
    let etag = drawn.header("etag").to_owned();
    assert!(etag.starts_with("W/\""));
    let same = tile(&router, &etag).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    // A frame of another product moves the log but not the tile: still not sent, with a newer tag.
    city.put("modena.noise", &[("urn:ngsi-ld:NoiseLevelObserved:modena:2", 10.9, 44.6, &[])]);
    let moved = tile(&router, &etag).await;
    assert_eq!(moved.status, 304);
    assert_ne!(moved.header("etag"), etag);
    assert_eq!(tile(&router, "W/\"rubbish\"").await.status, 200);
}

#[tokio::test]
async fn a_changed_entity_changes_its_tile() {
    let city = FakeCity::new();
    let router = city.router();
    let uri = "/api/twin/tiles/0/0/0.mvt?product=parking";
    let before = get(&router, "", uri).await;
    assert!(before.body.windows(5).any(|w| w == b"cells"));
    city.advance_secs(1);
    city.put("bologna.parking", &[(A, 11.34, 44.49, &[("free", Value::Int(99))])]);
    let mut again = request("GET", uri, "");
    again.headers_mut().insert("if-none-match", before.header("etag").parse().unwrap());
    let after = send(&router, "", again).await;
    assert_eq!(after.status, 200);
    assert_ne!(after.body, before.body);
}

#[tokio::test]
async fn history_asks_for_what_the_contract_has() {
    let city = FakeCity::new();
    let router = city.router();
    let json = get(&router, "", &format!("/api/twin/entities/{A}/history?from=2024-03-03T07:00:00Z&points_max=10")).await.json();
    assert_eq!(json["points"], serde_json::json!([[(NOW.0 - 3_600_000_000) / 1_000, 7.0]]), "the null is left out");
    assert_eq!((json["field"].as_str(), json["unit"].as_str(), json["downsampled"].as_bool()), (Some("free"), Some("{place}"), Some(true)));
    assert_eq!(city.series.lock()[0].points_max, 10);
    let bin = "/api/twin/entities/urn:ngsi-ld:Bin:bologna:1/history";
    assert_eq!(get(&router, "viewer", &format!("{bin}?key=side:left")).await.status, 200);
    assert_eq!(city.series.lock()[1].keys, [("side".to_owned(), "left".to_owned())]);
    for (query, word) in [
        ("from=2024-03-04T00:00:00Z", "not before 'to'"),
        ("field=street", "holds texts"),
        ("field=side", "not a field"),
        ("field=citizen", "not a field"),
        ("key=lane:1", "key fields: side"),
        ("points_max=1", "from 2 to"),
        ("form=x", "did you mean 'from'?"),
    ] {
        let answer = get(&router, "viewer", &format!("{bin}?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.text().contains(word), "{query}: {}", answer.text());
    }
}

#[tokio::test]
async fn products_say_how_they_stand() {
    let city = FakeCity::new();
    let router = city.router();
    let json = get(&router, "", "/api/products").await.json();
    let parking = json.as_array().unwrap().iter().find(|p| p["product"] == "parking").unwrap();
    assert_eq!(
        (parking["entities"].as_u64(), parking["freshness"].as_str(), parking["simulated"].as_bool()),
        (Some(3), Some("fresh"), Some(true))
    );
    assert_eq!(parking["label"]["it"], "Parcheggi");
    assert!(parking["fields"].as_array().unwrap().iter().any(|f| f["name"] == "free" && f["unit"] == "{place}" && f["kind"] == "int"));
    city.advance_secs(3_600);
    let later = get(&router, "", "/api/products").await.json();
    assert_eq!(later[1]["freshness"], "overdue");
}

/// A large page is whole and valid JSON, and the same entities make tiles near and far.
#[tokio::test]
async fn a_large_page_is_whole() {
    let city = FakeCity::new();
    let ids: Vec<String> = (0..5_000).map(|i| format!("urn:ngsi-ld:OffStreetParking:bologna:p{i}")).collect();
    let free = [("free", Value::Int(5))];
    let place = |i: usize| (11.2 + (i % 71) as f64 * 1e-3, 44.4 + (i / 71) as f64 * 1e-3);
    let rows: Vec<_> = ids.iter().enumerate().map(|(i, id)| (id.as_str(), place(i).0, place(i).1, &free[..])).collect();
    city.put("bologna.parking", &rows);
    let router = city.router();
    let ring = encoded("11.1 44.3,11.6 44.3,11.6 44.9,11.1 44.9");
    let answer = get(&router, "", &format!("/api/twin/entities?product=parking&limit=100000&polygon={ring}")).await;
    assert_eq!(answer.json()["features"].as_array().unwrap().len(), 5_003);
    for (uri, layer) in [("12/2175/1482", "cells"), ("14/8703/5929", "points")] {
        let tile = get(&router, "", &format!("/api/twin/tiles/{uri}.mvt?product=parking")).await;
        assert_eq!(tile.status, 200);
        assert!(tile.body.windows(layer.len()).any(|w| w == layer.as_bytes()), "{uri} has no layer {layer}");
    }
}
