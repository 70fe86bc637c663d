//! Arrow's own client of the protocol against the door. Real drivers are run by the workspace's integration tests.

use super::*;
use crate::{
    Limits,
    testing::{self, Users},
};
use arrow_array::{
    ArrayRef, Float64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_flight::{
    FlightInfo,
    decode::FlightRecordBatchStream,
    error::FlightError,
    sql::{CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, SqlInfo, client::FlightSqlServiceClient},
};
use futures::TryStreamExt;
use schemas::ManualClock;
use tonic::transport::{Channel, Endpoint};

type Client = FlightSqlServiceClient<Channel>;

struct Server {
    lake: Lakehouse,
    place: String,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), LakehouseError>>,
    _dir: tempfile::TempDir,
}

async fn server(config: DoorConfig) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let contracts = testing::contracts(&["value"]);
    let lake = Lakehouse::open(testing::config(dir.path()), contracts, Arc::new(ManualClock::at(testing::NOW))).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let (serving, token) = (lake.clone(), stop.clone());
    let task = tokio::spawn(async move { serving.serve_flight(listener, Arc::new(Users), config, token).await });
    Server { lake, place, stop, task, _dir: dir }
}

impl Server {
    async fn add(&self, rows: &[testing::TestRow]) {
        self.lake.append(testing::frame(&self.lake.contracts, rows)).await.unwrap().await.unwrap();
    }

    async fn stranger(&self) -> Client {
        Client::new(Endpoint::from_shared(self.place.clone()).unwrap().connect().await.unwrap())
    }

    async fn client(&self, user: &str) -> Client {
        let mut client = self.stranger().await;
        client.handshake(user, "right").await.unwrap();
        client
    }
}

async fn rows(client: &mut Client, info: FlightInfo) -> Result<RecordBatch, FlightError> {
    let promised = info.clone().try_decode_schema().unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<_> = client.do_get(ticket).await?.try_collect().await?;
    let schema = batches.first().map_or_else(|| Arc::new(promised.clone()), RecordBatch::schema);
    assert_eq!(promised.fields(), schema.fields(), "what was promised is what comes");
    Ok(arrow_select::concat::concat_batches(&schema, &batches).unwrap())
}

async fn ask(client: &mut Client, sql: &str) -> Result<RecordBatch, String> {
    let info = client.execute(sql.to_owned(), None).await.map_err(|e| e.to_string())?;
    rows(client, info).await.map_err(|e| e.to_string())
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_stream_and_errors_keep_their_text() {
    let server = server(DoorConfig::default()).await;
    let mut client = server.client("root").await;
    server.add(&[(1, 0, 10), (2, 0, 20)]).await;
    let all = ask(&mut client, "SELECT entity_id, observed_at, value, h3 FROM level ORDER BY value").await.unwrap();
    assert_eq!(all.column(2).as_primitive::<Float64Type>().values(), &[10.0, 20.0]);
    server.add(&[(3, 0, 30)]).await;
    assert_eq!(ask(&mut client, "SELECT count(*) FROM level").await.unwrap().column(0).as_primitive::<Int64Type>().value(0), 3);
    assert_eq!(ask(&mut client, "DESCRIBE HISTORY level").await.unwrap().num_rows(), 0);
    for (sql, says) in [
        ("SELECT\n valeu FROM level", "column 'valeu' does not exist (line 2, column 2); did you mean 'value'?"),
        ("SELECT * FROM levle", "table 'bologna.levle' does not exist (line 1, column 15); did you mean 'level'?"),
        ("DELETE FROM level", "read only"),
        ("SELECT value FROM level WHERE value > $1", "the parameter $1 has no value"),
    ] {
        let said = ask(&mut client, sql).await.unwrap_err();
        assert!(said.contains(says), "{sql}: {said}");
    }
    assert!(client.execute_update("DELETE FROM level".into(), None).await.unwrap_err().to_string().contains("read only"));
    server.stop.cancel();
    server.task.await.unwrap().unwrap();
    assert!(ask(&mut client, "SELECT 1").await.is_err(), "the connection was closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_take_values() {
    let server = server(DoorConfig::default()).await;
    server.add(&[(1, 0, 10), (2, 0, 20), (3, 0, 30)]).await;
    let mut client = server.client("root").await;
    for sql in
        ["SELECT value FROM level WHERE value > $1 AND entity_id <> $2", "SELECT value FROM level WHERE value > ? AND entity_id <> ?"]
    {
        let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        let kinds: Vec<_> = prepared.parameter_schema().unwrap().fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(kinds, [arrow_schema::DataType::Float64, arrow_schema::DataType::Utf8], "{sql}");
        assert_eq!(prepared.dataset_schema().unwrap().field(0).name(), "value");
        for (above, found) in [(10.5, vec![20.0]), (0.0, vec![10.0, 20.0])] {
            let values: [ArrayRef; 2] =
                [Arc::new(Float64Array::from(vec![above])), Arc::new(StringArray::from(vec!["urn:ngsi-ld:L:bologna:3"]))];
            let row = RecordBatch::try_from_iter(["0", "1"].into_iter().zip(values)).unwrap();
            prepared.set_parameters(row).unwrap();
            let info = prepared.execute().await.unwrap();
            let mut shown = rows(&mut client, info).await.unwrap().column(0).as_primitive::<Float64Type>().values().to_vec();
            shown.sort_by(f64::total_cmp);
            assert_eq!(shown, found, "{sql}");
        }
        let two: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
        prepared.set_parameters(RecordBatch::try_from_iter([("0", two)]).unwrap()).unwrap();
        assert!(prepared.execute().await.unwrap_err().to_string().contains("one row"));
        prepared.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_the_callers_own() {
    let server = server(DoorConfig::default()).await;
    server.add(&[(1, 0, 10)]).await;
    let (mut root, mut imola) = (server.client("root").await, server.client("imola").await);
    let everything = CommandGetTables { include_schema: true, table_types: vec!["TABLE".into()], ..CommandGetTables::default() };
    let info = root.get_tables(everything.clone()).await.unwrap();
    let tables = rows(&mut root, info).await.unwrap();
    assert!(texts(&tables, "db_schema_name").contains(&"bologna".to_owned()) && texts(&tables, "table_name").contains(&"level".to_owned()));
    assert!(tables.column_by_name("table_schema").unwrap().as_binary::<i32>().value(0).len() > 100);
    let info = imola.get_tables(everything).await.unwrap();
    assert!(!texts(&rows(&mut imola, info).await.unwrap(), "db_schema_name").contains(&"bologna".to_owned()));
    let info = imola.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    assert_eq!(texts(&rows(&mut imola, info).await.unwrap(), "db_schema_name"), ["imola", "ops"]);
    let info = root.get_catalogs().await.unwrap();
    assert_eq!(texts(&rows(&mut root, info).await.unwrap(), "catalog_name"), ["portico"]);
    let info = root.get_table_types().await.unwrap();
    assert_eq!(texts(&rows(&mut root, info).await.unwrap(), "table_type"), ["TABLE"]);
    let info = root.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerReadOnly]).await.unwrap();
    assert_eq!(rows(&mut root, info).await.unwrap().num_rows(), 2);
    let keys = CommandGetPrimaryKeys { table: "level".into(), ..CommandGetPrimaryKeys::default() };
    let info = root.get_primary_keys(keys).await.unwrap();
    assert_eq!(rows(&mut root, info).await.unwrap().num_rows(), 0);
    assert!(ask(&mut imola, "SELECT * FROM bologna.level").await.unwrap_err().contains("does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_anonymous() {
    let server = server(DoorConfig::default()).await;
    let mut client = server.stranger().await;
    assert!(ask(&mut client, "SELECT 1").await.unwrap_err().contains("sign in"));
    assert!(client.get_tables(CommandGetTables::default()).await.is_err());
    assert!(client.prepare("SELECT 1".into(), None).await.is_err());
    assert!(client.handshake("root", "wrong").await.unwrap_err().to_string().contains("password"));
    client.set_token("made up".into());
    assert!(ask(&mut client, "SELECT 1").await.unwrap_err().contains("token"));
    client.clear_token();
    // Basic on each call, without a handshake: `root:right`.
    client.set_header("authorization", "Basic cm9vdDpyaWdodA==");
    assert_eq!(ask(&mut client, "SELECT 1").await.unwrap().num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_gone_client_holds_nothing() {
    let limits = Limits { rows_max: usize::MAX, ..Limits::default() };
    let server = server(DoorConfig { limits, connections_max: 1, ..DoorConfig::default() }).await;
    let mut client = server.client("root").await;
    let all = server.lake.engine.permits.available_permits();
    let info = client.execute("SELECT x FROM generate_series(1, 1000000000000) a(x)".into(), None).await.unwrap();
    let mut stream: FlightRecordBatchStream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some(), "rows come before the end is known");
    assert!(server.lake.engine.permits.available_permits() < all, "it runs");
    drop(stream);
    let whole = u32::try_from(all).unwrap();
    let back = tokio::time::timeout(Duration::from_secs(30), server.lake.engine.permits.acquire_many(whole)).await;
    drop(back.expect("the statement stopped").unwrap());
    let late = Endpoint::from_shared(server.place.clone()).unwrap().connect_lazy();
    assert!(Client::new(late).handshake("root", "right").await.is_err(), "there is one place, and it is taken");
    assert_eq!(ask(&mut client, "SELECT 1").await.unwrap().num_rows(), 1);
    drop(client);
    // Its place is free again when the server has seen it leave.
    let mut next = loop {
        let mut next = Client::new(Endpoint::from_shared(server.place.clone()).unwrap().connect_lazy());
        if next.handshake("root", "right").await.is_ok() {
            break next;
        }
    };
    assert_eq!(ask(&mut next, "SELECT 1").await.unwrap().num_rows(), 1);
}
