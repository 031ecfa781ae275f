//! Places in the feed, and the deliveries that follow from them.

use super::orders::{Row, take_out};
use super::{News, Subscriber};
use crate::clock::Timestamp;
use crate::store::connection::{Connection, Link};
use crate::store::parse::{every_row, one_row};
use crate::store::sql::query;
use crate::store::{Failure, Store};

impl Subscriber {
    fn wants(&self, news: &News) -> bool {
        self.account == news.account
            && self
                .kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&news.kind))
    }
}

/// No feed is as long: a place beyond it was given by nobody.
const PLACE_MAX: i64 = 1 << 52;

impl Store {
    /// Gives committed news their places, and makes a delivery to each endpoint that wants them.
    /// Answers how many got one: while it is `limit`, there may be more.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn number_news(
        &self,
        subscribers: Vec<Subscriber>,
        limit: u32,
        now: Timestamp,
    ) -> Result<usize, Failure> {
        let environment = self.environment;
        // Most of the time there are none, and a look costs no commit.
        if !self
            .read(|connection| Box::pin(any_unnumbered(connection)))
            .await?
        {
            return Ok(0);
        }
        self.write(move |tx| {
            Box::pin(async move {
                // The lock on this row makes the numbering one at a time, also between nodes.
                let last: i64 = query(
                    "UPDATE event_places SET last_seq = last_seq WHERE id = 1 RETURNING last_seq",
                )
                .scalar(tx)
                .await?;
                let rows: Vec<Row> = query(
                    "SELECT id, account, kind, data, created_at_ms, order_proof
                       FROM events
                      WHERE seq IS NULL
                      ORDER BY rowid
                      LIMIT $1",
                )
                .bind(limit)
                .all(tx)
                .await?;
                let handled = rows.len();
                // A place that was taken beside this row stops nobody, nor one that nothing comes after.
                let taken: Option<i64> = query("SELECT MAX(seq) FROM events WHERE seq < $1")
                    .bind(PLACE_MAX)
                    .scalar(tx)
                    .await?;
                let last = if last < PLACE_MAX { last } else { 0 };
                let mut place = taken.map_or(last, |taken| taken.max(last));
                let (mut places, mut deliveries) = (Vec::new(), Vec::new());
                for row in rows {
                    let id = row.id();
                    let Some(news) = row.believed(tx.orders(), environment) else {
                        take_out(tx, &id).await?;
                        continue;
                    };
                    place = place.saturating_add(1);
                    let wanted = subscribers.iter().filter(|one| one.wants(&news));
                    deliveries.extend(wanted.map(|one| (id.clone(), one.endpoint.clone())));
                    places.push((id, place));
                }
                give_places(tx, &places).await?;
                owe_deliveries(tx, &deliveries, now).await?;
                query("UPDATE event_places SET last_seq = $1 WHERE id = 1")
                    .bind(place)
                    .execute(tx)
                    .await?;
                Ok(handled)
            })
        })
        .await
    }
}

async fn any_unnumbered(connection: &mut Connection) -> Result<bool, Failure> {
    query("SELECT EXISTS (SELECT 1 FROM events WHERE seq IS NULL)")
        .scalar(connection)
        .await
}

/// Gives events their places in the feed: on PostgreSQL all of them in one statement.
async fn give_places(tx: &mut Connection, places: &[(String, i64)]) -> Result<(), Failure> {
    if places.is_empty() {
        return Ok(());
    }
    if let Link::Postgres(link) = tx.link() {
        let (ids, seqs): (Vec<&str>, Vec<i64>) =
            places.iter().map(|(id, seq)| (id.as_str(), *seq)).unzip();
        let given = sqlx::query(
            "UPDATE events
                SET seq = given.seq
               FROM UNNEST ($1::text[], $2::bigint[]) AS given (id, seq)
              WHERE events.id = given.id AND events.seq IS NULL",
        )
        .bind(ids)
        .bind(seqs)
        .execute(link)
        .await?
        .rows_affected();
        return every_row(given, "events", places.len());
    }
    for (id, place) in places {
        let written = query("UPDATE events SET seq = $2 WHERE id = $1 AND seq IS NULL")
            .bind(id)
            .bind(*place)
            .execute(tx)
            .await?;
        one_row(written, "events", id)?;
    }
    Ok(())
}

/// Owes each event to each endpoint that wants it: on PostgreSQL all of them in one statement. What
/// somebody wrote of it before the event had its place is written over, so that it stops no other.
async fn owe_deliveries(
    tx: &mut Connection,
    deliveries: &[(String, String)],
    now: Timestamp,
) -> Result<(), Failure> {
    if deliveries.is_empty() {
        return Ok(());
    }
    if let Link::Postgres(link) = tx.link() {
        let (ids, endpoints): (Vec<&str>, Vec<&str>) = deliveries
            .iter()
            .map(|(id, endpoint)| (id.as_str(), endpoint.as_str()))
            .unzip();
        let owed = sqlx::query(
            "INSERT INTO deliveries (event_id, endpoint, status, attempts, lease_until_ms, updated_at_ms)
             SELECT given.event_id, given.endpoint, 'due', 0, $3, $3
               FROM UNNEST ($1::text[], $2::text[]) AS given (event_id, endpoint)
                 ON CONFLICT (event_id, endpoint) DO UPDATE
                SET status = excluded.status, attempts = 0, answer = NULL, lease_until_ms = excluded.lease_until_ms, lease_token = NULL, updated_at_ms = excluded.updated_at_ms",
        )
        .bind(ids)
        .bind(endpoints)
        .bind(now.unix_ms())
        .execute(link)
        .await?
        .rows_affected();
        return every_row(owed, "deliveries", deliveries.len());
    }
    for (id, endpoint) in deliveries {
        let written = query(
            "INSERT INTO deliveries (event_id, endpoint, status, attempts, lease_until_ms, updated_at_ms)
             VALUES ($1, $2, 'due', 0, $3, $3)
                 ON CONFLICT (event_id, endpoint) DO UPDATE
                SET status = excluded.status, attempts = 0, answer = NULL, lease_until_ms = excluded.lease_until_ms, lease_token = NULL, updated_at_ms = excluded.updated_at_ms",
        )
        .bind(id)
        .bind(endpoint)
        .bind(now.unix_ms())
        .execute(tx)
        .await?;
        one_row(written, "deliveries", id)?;
    }
    Ok(())
}
