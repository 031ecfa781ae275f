//! One test, both engines: the same wire, whatever holds the rows.

use std::sync::Arc;

use tempfile::TempDir;

use crate::support::App;
use crate::support::postgres::Server;

/// Where the rows of an [`App`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Makes two tests of each function named: `on_sqlite::…` and `on_postgresql::…`. The functions
/// take the [`Engine`]; one that is not named is never called, which the compiler tells.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::engines::Engine::Sqlite).await;
            })+
        }
        mod on_postgresql {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::engines::Engine::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both_engines;

impl App {
    /// Starts the service on an engine; a PostgreSQL server is its own and ends with it.
    pub(crate) fn on(engine: Engine) -> Self {
        Self::on_with(engine, &[], &[])
    }

    /// Starts it with arguments and `CLOAKROOM__…` overrides.
    pub(crate) fn on_with(engine: Engine, arguments: &[&str], overrides: &[(&str, &str)]) -> Self {
        match engine {
            Engine::Sqlite => Self::start_with(arguments, overrides),
            Engine::Postgres => {
                let server = Server::copied(env!("CARGO_TARGET_TMPDIR"));
                let store = server.store_file();
                let arguments = [&["--store", store.to_str().unwrap()], arguments].concat();
                let dir = Arc::new(TempDir::new().unwrap());
                let mut app = Self::start_in(dir, &arguments, overrides);
                app.server = Some(server);
                app
            }
        }
    }

    /// What a query for a number answers.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        match &self.server {
            None => crate::sealed::count(&self.path("cloakroom.db"), query).await,
            Some(server) => server.sql(query).parse().unwrap(),
        }
    }

    /// What a query for a text answers.
    pub(crate) async fn text(&self, query: &str) -> String {
        match &self.server {
            None => crate::sealed::text(&self.path("cloakroom.db"), query).await,
            Some(server) => server.sql(query),
        }
    }

    /// Changes rows by somebody's hand.
    pub(crate) async fn change_rows(&self, statement: &str) {
        match &self.server {
            None => crate::sealed::change(&self.path("cloakroom.db"), statement).await,
            Some(server) => {
                let changed = server.sql(&format!("{statement} RETURNING 1"));
                assert_eq!(changed, "1");
            }
        }
    }
}

on_both_engines! { the_rows_are_where_they_belong }

async fn the_rows_are_where_they_belong(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(crate::support::VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    assert_eq!(app.count("SELECT count(*) FROM charges").await, 1);
    let file = app.path("cloakroom.db").exists();
    assert_eq!(file, engine == Engine::Sqlite);
}
