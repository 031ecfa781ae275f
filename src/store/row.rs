//! Rows of either engine, read column by column into what the statement beside them means.

use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex as _, Row as _};

use super::Failure;

/// A row that is being read, from its first column to its last.
pub(super) struct Cells<'r> {
    row: Source<'r>,
    next: usize,
}

enum Source<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r PgRow),
}

/// What a row is read into.
pub(super) trait Row: Sized + Send {
    /// Reads its columns.
    fn read(cells: &mut Cells<'_>) -> Result<Self, Failure>;
}

/// What a column is read into, or some columns of a row.
pub(super) trait Column: Sized {
    /// Reads the column of that name; without a name the next one.
    fn read(cells: &mut Cells<'_>, name: Option<&'static str>) -> Result<Self, Failure>;
}

/// A value that both drivers give.
trait Both:
    rusqlite::types::FromSql + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>
{
}

impl<'r> From<&'r rusqlite::Row<'r>> for Cells<'r> {
    fn from(row: &'r rusqlite::Row<'r>) -> Self {
        let row = Source::Sqlite(row);
        Self { row, next: 0 }
    }
}

impl<'r> From<&'r PgRow> for Cells<'r> {
    fn from(row: &'r PgRow) -> Self {
        let row = Source::Postgres(row);
        Self { row, next: 0 }
    }
}

impl Cells<'_> {
    fn value<T: Both>(&mut self, name: Option<&'static str>) -> Result<T, Failure> {
        let index = self.index_of(name)?;
        self.next = index.saturating_add(1);
        Ok(match self.row {
            Source::Sqlite(row) => row.get(index)?,
            Source::Postgres(row) => row.try_get(index)?,
        })
    }

    /// Columns mostly stand in the order in which they are read; only others are searched for.
    fn index_of(&self, name: Option<&'static str>) -> Result<usize, Failure> {
        let Some(name) = name else {
            return Ok(self.next);
        };
        Ok(match self.row {
            Source::Sqlite(row) => {
                let statement = row.as_ref();
                match statement.column_name(self.next) {
                    Ok(found) if found == name => self.next,
                    _ => statement.column_index(name)?,
                }
            }
            Source::Postgres(row) => name.index(row)?,
        })
    }
}

macro_rules! columns {
    ($($kind:ty),+) => {$(
        impl Both for $kind {}
        impl Both for Option<$kind> {}

        impl Column for $kind {
            fn read(cells: &mut Cells<'_>, name: Option<&'static str>) -> Result<Self, Failure> {
                cells.value(name)
            }
        }

        impl Column for Option<$kind> {
            fn read(cells: &mut Cells<'_>, name: Option<&'static str>) -> Result<Self, Failure> {
                cells.value(name)
            }
        }
    )+};
}

columns!(String, i64, bool, Vec<u8>);

macro_rules! tuples {
    ($(($($column:ident),+))+) => {$(
        impl<$($column: Column + Send),+> Row for ($($column,)+) {
            fn read(cells: &mut Cells<'_>) -> Result<Self, Failure> {
                Ok(($($column::read(cells, None)?,)+))
            }
        }
    )+};
}

tuples! {
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
}

/// A structure with a field for each column, of the column's name.
macro_rules! row {
    ($(#[$about:meta])* $visible:vis struct $name:ident { $($field:ident: $kind:ty,)+ }) => {
        $(#[$about])*
        $visible struct $name {
            $($field: $kind,)+
        }

        impl $crate::store::row::Row for $name {
            fn read(cells: &mut $crate::store::row::Cells<'_>) -> Result<Self, $crate::store::Failure> {
                Ok(Self {
                    $($field: $crate::store::row::Column::read(cells, Some(stringify!($field)))?,)+
                })
            }
        }
    };
}
pub(super) use row;
