//! Tables as CSV and Parquet bytes: what boards and simulations are exported as. No file is touched, and
//! the same table gives the same bytes on every machine.
//!
//! ```
//! use fieldmark_tables::{Table, Values};
//! let table = Table::new(vec![
//!     ("model".to_owned(), Values::text(["hare", "tortoise"])),
//!     ("score".to_owned(), Values::Number(vec![Some(0.5), None])),
//! ])?;
//! assert_eq!(table.csv(), "model,score\nhare,0.5\ntortoise,\n");
//! assert!(table.parquet()?.starts_with(b"PAR1"));
//! # Ok::<(), fieldmark_tables::TableError>(())
//! ```

mod parquet_file;

use thiserror::Error;

/// Why a table cannot be made or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// Columns of different lengths.
    #[error("column {column} has {found} rows, the first has {expected}")]
    Rows {
        /// Name of the column.
        column: String,
        /// Rows of the first column.
        expected: usize,
        /// Rows of this one.
        found: usize,
    },
    /// The Parquet library refused.
    #[error("the table cannot be written as Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
}

/// The values of a column; `None` where there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Text.
    Text(Vec<Option<String>>),
    /// Numbers; not-a-number is written as no value.
    Number(Vec<Option<f64>>),
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Yes or no.
    Flag(Vec<bool>),
}

impl Values {
    /// Text in every row.
    pub fn text<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Text(values.into_iter().map(|value| Some(value.into())).collect())
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Flag(values) => values.len(),
        }
    }

    fn field(&self, row: usize) -> String {
        match self {
            Self::Text(values) => quoted(values.get(row).and_then(Option::as_deref).unwrap_or("")),
            Self::Number(values) => {
                let value = values.get(row).copied().flatten();
                value
                    .filter(|value| !value.is_nan())
                    .map_or_else(String::new, |value| value.to_string())
            }
            Self::Whole(values) => values
                .get(row)
                .copied()
                .flatten()
                .map_or_else(String::new, |value| value.to_string()),
            Self::Flag(values) => values.get(row).map_or_else(String::new, ToString::to_string),
        }
    }
}

/// Named columns of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<(String, Values)>,
    rows: usize,
}

impl Table {
    /// Takes the columns in their order.
    ///
    /// # Errors
    /// Columns of different lengths.
    pub fn new(columns: Vec<(String, Values)>) -> Result<Self, TableError> {
        let rows = columns.first().map_or(0, |(_, values)| values.rows());
        match columns.iter().find(|(_, values)| values.rows() != rows) {
            Some((column, values)) => Err(TableError::Rows {
                column: column.clone(),
                expected: rows,
                found: values.rows(),
            }),
            None => Ok(Self { columns, rows }),
        }
    }

    /// The table as CSV with a header (RFC 4180, but lines end in a line feed alone). Text that a
    /// spreadsheet would take for a formula is led by an apostrophe.
    #[must_use]
    pub fn csv(&self) -> String {
        let names = self
            .columns
            .iter()
            .map(|(name, _)| quoted(name))
            .collect::<Vec<_>>();
        let mut text = names.join(",") + "\n";
        for row in 0..self.rows {
            let fields = self
                .columns
                .iter()
                .map(|(_, values)| values.field(row))
                .collect::<Vec<_>>();
            text.push_str(&fields.join(","));
            text.push('\n');
        }
        text
    }

    /// The table as a Parquet file, snappy-compressed.
    ///
    /// # Errors
    /// When the Parquet library refuses, which for these columns it does not.
    pub fn parquet(&self) -> Result<Vec<u8>, TableError> {
        parquet_file::write(&self.columns)
    }
}

/// A field of a CSV line.
fn quoted(text: &str) -> String {
    let led = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if led.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", led.replace('"', "\"\""))
    } else {
        led
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    fn table() -> Table {
        Table::new(vec![
            (
                "name".to_owned(),
                Values::Text(vec![Some("a, \"b\"".into()), None, Some("=1+1".into())]),
            ),
            (
                "score".to_owned(),
                Values::Number(vec![Some(0.25), Some(f64::NAN), None]),
            ),
            ("count".to_owned(), Values::Whole(vec![Some(-3), None, Some(7)])),
            ("worst".to_owned(), Values::Flag(vec![true, false, true])),
        ])
        .unwrap()
    }

    #[test]
    fn csv_quotes_what_would_break_a_line_or_run_as_a_formula() {
        let expected = "name,score,count,worst\n\"a, \"\"b\"\"\",0.25,-3,true\n,,,false\n'=1+1,,7,true\n";
        assert_eq!(table().csv(), expected);
    }

    #[test]
    fn parquet_reads_back_as_it_was_and_is_the_same_every_time() {
        let bytes = table().parquet().unwrap();
        assert_eq!(bytes, table().parquet().unwrap());
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].get_string(0).unwrap(), "a, \"b\"");
        assert!(rows[1].get_string(0).is_err() && rows[1].get_double(1).is_err());
        assert_eq!(rows[0].get_double(1).unwrap(), 0.25);
        assert_eq!(rows[2].get_long(2).unwrap(), 7);
        assert!(rows[2].get_bool(3).unwrap());
    }

    #[test]
    fn columns_of_different_lengths_are_refused() {
        let columns = vec![
            ("a".to_owned(), Values::Flag(vec![true])),
            ("b".to_owned(), Values::Flag(vec![])),
        ];
        assert!(matches!(
            Table::new(columns),
            Err(TableError::Rows {
                expected: 1,
                found: 0,
                ..
            })
        ));
    }

    #[test]
    fn an_empty_table_is_a_table() {
        let table = Table::new(vec![("a".to_owned(), Values::Number(vec![]))]).unwrap();
        assert_eq!(table.csv(), "a\n");
        assert!(table.parquet().unwrap().starts_with(b"PAR1"));
    }
}
