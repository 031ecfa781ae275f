//! From columns to values whose type is their proof.

use super::Failure;
use crate::clock::Timestamp;
use crate::token::id::Kind;
use crate::token::{Account, Environment, Id};

/// A row under reading: knows what to say when a column means nothing.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    table: &'static str,
    row: &'a str,
    environment: Environment,
}

impl<'a> Reading<'a> {
    pub(super) const fn new(table: &'static str, row: &'a str, environment: Environment) -> Self {
        Self {
            table,
            row,
            environment,
        }
    }

    /// The failure that names `column` of this row.
    pub(super) fn inconsistent(&self, column: &'static str) -> Failure {
        Failure::Inconsistent {
            table: self.table,
            column,
            row: self.row.to_owned(),
        }
    }

    /// What a parser found in `column`, or the failure that names it.
    pub(super) fn found<T>(&self, column: &'static str, value: Option<T>) -> Result<T, Failure> {
        value.ok_or_else(|| self.inconsistent(column))
    }

    /// An id; one of the other environment is as wrong as a malformed one.
    pub(super) fn id<K: Kind>(&self, column: &'static str, text: &str) -> Result<Id<K>, Failure> {
        self.found(column, Id::parse(text, self.environment).ok())
    }

    pub(super) fn id_if_any<K: Kind>(
        &self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<Id<K>>, Failure> {
        text.map(|text| self.id(column, text)).transpose()
    }

    pub(super) fn account(&self, name: String) -> Result<Account, Failure> {
        self.found("account", Account::try_from(name).ok())
    }

    /// A number in the narrower type it belongs to.
    pub(super) fn number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
        value: i64,
    ) -> Result<T, Failure> {
        self.found(column, T::try_from(value).ok())
    }
}

/// A column of milliseconds.
pub(super) fn moment_if_any(unix_ms: Option<i64>) -> Option<Timestamp> {
    unix_ms.map(Timestamp::from_unix_ms)
}

/// The failure of a write that did not touch the one row it meant.
pub(super) fn one_row(
    affected: u64,
    table: &'static str,
    row: &impl ToString,
) -> Result<(), Failure> {
    if affected == 1 {
        Ok(())
    } else {
        Err(Failure::Inconsistent {
            table,
            column: "id",
            row: row.to_string(),
        })
    }
}

/// The failure of a statement for many rows that did not touch each of them.
pub(super) fn every_row(affected: u64, table: &str, rows: usize) -> Result<(), Failure> {
    if usize::try_from(affected) == Ok(rows) {
        Ok(())
    } else {
        let why = format!("{table}: {affected} rows were written of {rows}");
        Err(Failure::engine(&why))
    }
}

/// Gives a row a `Debug` that shows ids and states only: references and metadata are the
/// merchant's, and may name people.
macro_rules! quiet_debug {
    ($($row:ident { $($field:ident),+ })+) => {$(
        impl std::fmt::Debug for $row {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($row))
                    $(.field(stringify!($field), &self.$field))+
                    .finish_non_exhaustive()
            }
        }
    )+};
}
pub(super) use quiet_debug;
