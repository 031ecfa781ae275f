//! The rates that scenarios are compared with.

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::load::yardstick::{sqlite, tps};

#[test]
fn the_rate_is_read_from_what_pgbench_says() {
    let said = "number of failed transactions: 0 (0.000%)\nlatency average = 1.5 ms\ntps = 10614.25 (without initial connection time)\n";
    assert_eq!(tps(said), Some(10_614.25));
    assert_eq!(tps("pgbench: error"), None);
}

#[tokio::test]
async fn sqlite_commits_each_row_and_reads_it_faster() {
    let dir = tempfile::tempdir().unwrap();
    let [commits, reads] = sqlite(dir.path(), 1).await.unwrap().try_into().unwrap();
    assert!(commits.per_s > 1.0 && reads.per_s > commits.per_s);
    let options = SqliteConnectOptions::new().filename(dir.path().join("yardstick.db"));
    let mut connection = options.connect().await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM marks")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    // A second, and what the last commit took beyond it.
    let rows = f64::from(i32::try_from(rows).unwrap());
    assert!(
        rows >= commits.per_s && rows <= commits.per_s * 2.0 + 2.0,
        "{rows}"
    );
}
