// Connect, schema metadata, prepared statements, pages, a batch.
use futures::TryStreamExt;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::Statement;
use std::env::var;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = var("CASSANDRA_PORT")?;
    let hosts: Vec<String> = var("CASSANDRA_CONTACT_POINTS")?.split(',').map(|h| format!("{h}:{port}")).collect();
    let session: Session = SessionBuilder::new().known_nodes(hosts).build().await?;
    session.query_unpaged("DROP KEYSPACE IF EXISTS rust", ()).await?;
    session
        .query_unpaged("CREATE KEYSPACE rust WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}", ())
        .await?;
    session.query_unpaged("CREATE TABLE rust.event (id int, at int, name text, PRIMARY KEY (id, at))", ()).await?;
    session.await_schema_agreement().await?;
    session.refresh_metadata().await?;
    let state = session.get_cluster_state();
    let table = &state.get_keyspace("rust").expect("the keyspace").tables["event"];
    assert_eq!((table.partition_key.clone(), table.clustering_key.clone()), (vec!["id".to_string()], vec!["at".to_string()]));

    let insert = session.prepare("INSERT INTO rust.event (id, at, name) VALUES (?, ?, ?)").await?;
    for i in 0..200 {
        session.execute_unpaged(&insert, (i % 4, i, i.to_string())).await?;
    }
    let select = Statement::new("SELECT id, at, name FROM rust.event").with_page_size(9);
    let rows: Vec<(i32, i32, String)> = session.query_iter(select, ()).await?.rows_stream()?.try_collect().await?;
    assert_eq!(rows.len(), 200);
    assert!(rows.iter().all(|r| r.0 == r.1 % 4 && r.2 == r.1.to_string()));

    let mut batch = Batch::new(BatchType::Logged);
    batch.append_statement(insert.clone());
    batch.append_statement("DELETE FROM rust.event WHERE id = 0");
    session.batch(&batch, ((9, 1, "one"), ())).await?;
    let count = session.query_unpaged("SELECT count(*) FROM rust.event", ()).await?.into_rows_result()?.single_row::<(i64,)>()?.0;
    assert_eq!(count, 151);
    let refused = session.query_unpaged("SELECT nope FROM rust.event", ()).await.expect_err("was not refused").to_string();
    assert!(refused.contains("Undefined column name nope in table rust.event"), "{refused}");
    session.query_unpaged("DROP KEYSPACE rust", ()).await?;
    println!("scylla for Rust is content");
    Ok(())
}
