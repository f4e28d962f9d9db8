//! What a reader of any format gives: rows, and what it learnt on the way.

use crate::columns::Columns;
use crate::error::DataError;
use crate::row::Row;

/// The rows of a dataset, one after the other.
pub(crate) trait Rows {
    /// The next row; `None` at the end. After an error that [`DataError::is_of_row`] more rows may follow.
    fn next_row(&mut self) -> Option<Result<Row, DataError>>;
    /// What the columns mean.
    fn columns(&self) -> &Columns;
    /// Missing cells by column, so far.
    fn missing(&self) -> &[u64];
    /// BLAKE3 of the content in hex; asked for after the last row.
    fn version(&mut self) -> Result<String, DataError>;
    /// Width, height and channels of the images, once one was read.
    fn image(&self) -> Option<[usize; 3]> {
        None
    }
}
