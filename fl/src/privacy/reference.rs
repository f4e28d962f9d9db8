//! Reference figures: rows of a CSV that name a mechanism, its parameters, and the band its figure must
//! lie in.
//!
//! Columns `id`, `mechanism`, `params` (JSON), `delta`, `accept_lo` and `accept_hi` are read; others are
//! for people. The figure is ε at δ, but for `analytic_gaussian_sigma` (the least σ), `*_variance`,
//! `distributed_discrete_gaussian_tau` and `adaptive_clipping_noise_split`. Below the band a figure claims
//! more privacy than there is, above it wastes budget.

use serde_json::{Map, Value};
use thiserror::Error;

use super::composition::Method;
use super::params::{Delta, Epsilon};
use super::spec::{AnyComposition, Fields, SpecError};
use super::{PrivacyError, clipping, discrete, gaussian};

/// Most rows of one file.
const ROWS_MAX: usize = 100_000;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// Its line in the file.
    pub line: u64,
    /// The mechanism.
    pub mechanism: String,
    /// Its parameters.
    pub params: Map<String, Value>,
    /// δ at which ε is asked.
    pub delta: Option<f64>,
    /// The band; without a lower end the row says only what is too much.
    pub low: Option<f64>,
    /// The upper end.
    pub high: f64,
}

/// A computed figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// How it was found.
    pub method: Method,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Not a CSV.
    #[error("not a CSV file")]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("there is no column {name:?}")]
    Column {
        /// Its name.
        name: &'static str,
    },
    /// A cell cannot be read.
    #[error("line {line}: {column} is {found:?}, must be {wanted}")]
    Cell {
        /// The line.
        line: u64,
        /// The column.
        column: &'static str,
        /// The text.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// No rows.
    #[error("the file has no rows")]
    Empty,
    /// Too many rows.
    #[error("the file has more than {ROWS_MAX} rows")]
    TooMany,
}

/// Why a row has no figure.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FigureError {
    /// An ε is asked without δ.
    #[error("ε is asked, but there is no delta")]
    NoDelta,
    /// A number out of range.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// A description that cannot be read.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Reads a file.
///
/// # Errors
/// The line that cannot be read, and why.
pub fn read(bytes: &[u8]) -> Result<Vec<Row>, ReferenceError> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(bytes);
    let headers = reader.headers()?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        if rows.len() == ROWS_MAX {
            return Err(ReferenceError::TooMany);
        }
        rows.push(row(&headers, &record)?);
    }
    if rows.is_empty() {
        return Err(ReferenceError::Empty);
    }
    Ok(rows)
}

fn row(headers: &csv::StringRecord, record: &csv::StringRecord) -> Result<Row, ReferenceError> {
    let line = record.position().map_or(0, csv::Position::line);
    let cell = |column: &'static str| {
        let place = headers.iter().position(|header| header == column);
        let place = place.ok_or(ReferenceError::Column { name: column })?;
        Ok::<&str, ReferenceError>(record.get(place).unwrap_or("").trim())
    };
    let bad = |column, found: &str, wanted| ReferenceError::Cell {
        line,
        column,
        found: found.to_owned(),
        wanted,
    };
    let number = |column: &'static str| -> Result<Option<f64>, ReferenceError> {
        let text = cell(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number
            .map(Some)
            .ok_or_else(|| bad(column, text, "a number or empty"))
    };
    let text = |column: &'static str| match cell(column)? {
        "" => Err(bad(column, "", "a name")),
        name => Ok(name.to_owned()),
    };
    let params = cell("params")?;
    let Ok(Value::Object(parsed)) = serde_json::from_str(params) else {
        return Err(bad("params", params, "a JSON object"));
    };
    Ok(Row {
        id: text("id")?,
        line,
        mechanism: text("mechanism")?,
        params: parsed,
        delta: number("delta")?,
        low: number("accept_lo")?,
        high: number("accept_hi")?.ok_or_else(|| bad("accept_hi", "", "a number"))?,
    })
}

impl Row {
    /// Computes the figure.
    ///
    /// # Errors
    /// The mechanism or a parameter cannot be read.
    pub fn figure(&self) -> Result<Figure, FigureError> {
        let exact = |value| Figure {
            value,
            method: Method::Exact,
        };
        let mut fields = Fields::new(&self.mechanism, self.params.clone());
        let value = match self.mechanism.as_str() {
            "analytic_gaussian_sigma" => {
                let sensitivity = fields.optional_number("l2_sensitivity")?.unwrap_or(1.0);
                let epsilon = Epsilon::new(fields.number("epsilon")?)?;
                gaussian::analytic_gaussian_sigma(epsilon, self.delta()?, sensitivity)?
            }
            "discrete_gaussian_variance" => {
                discrete::discrete_gaussian_variance(fields.number("sigma_squared")?)
            }
            "discrete_laplace_variance" => discrete::discrete_laplace_variance(fields.number("scale")?),
            "distributed_discrete_gaussian_tau" => {
                let parties = u32::try_from(fields.whole("parties")?).unwrap_or(u32::MAX);
                discrete::distributed_discrete_gaussian_tau(parties, fields.number("sigma_squared_each")?)
            }
            "adaptive_clipping_noise_split" => clipping::adaptive_clipping_noise_split(
                fields.number("noise_multiplier")?,
                fields.number("count_stddev")?,
            )?,
            _ => {
                let bound = self.composition()?.epsilon(self.delta()?);
                return Ok(Figure {
                    value: bound.epsilon,
                    method: bound.method,
                });
            }
        };
        fields.finish()?;
        Ok(exact(value))
    }

    /// The composition of an ε row.
    ///
    /// # Errors
    /// The mechanism or a parameter cannot be read.
    pub fn composition(&self) -> Result<AnyComposition, FigureError> {
        Ok(AnyComposition::read(
            &self.mechanism,
            &Value::Object(self.params.clone()),
        )?)
    }

    /// δ.
    ///
    /// # Errors
    /// None is given, or it is out of range.
    pub fn delta(&self) -> Result<Delta, FigureError> {
        Ok(Delta::new(self.delta.ok_or(FigureError::NoDelta)?)?)
    }

    /// Whether a value lies in the band.
    pub fn contains(&self, value: f64) -> bool {
        value <= self.high && self.low.is_none_or(|low| value >= low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let header = "id,mechanism,params,delta,accept_lo,accept_hi\n";
        assert_eq!(fails(header), "the file has no rows");
        assert!(fails("id,mechanism\na,b\n").contains("no column \"params\""));
        let bad = format!("{header}a,gaussian,{{}},1e-5,,1\nb,gaussian,{{,1e-5,,1\n");
        assert!(fails(&bad).contains("line 3: params is \"{\", must be a JSON object"));
        let bad = format!("{header}a,gaussian,{{}},x,,1\n");
        assert!(fails(&bad).contains("line 2: delta is \"x\""));
        let bad = format!("{header}a,gaussian,{{}},1e-5,,\n");
        assert!(fails(&bad).contains("line 2: accept_hi is \"\""));
    }

    #[test]
    fn a_row_without_what_it_needs_has_no_figure() {
        let text = "id,mechanism,params,delta,accept_lo,accept_hi\na,gaussian,{},1e-5,,1\nb,pure,\"{\"\"eps0\"\": 1}\",,,1\n";
        let rows = read(text.as_bytes()).unwrap();
        assert_eq!(rows[0].figure().unwrap_err().to_string(), "gaussian needs sigma");
        assert!(rows[1].figure().unwrap_err().to_string().contains("no delta"));
    }
}
