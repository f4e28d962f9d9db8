//! Small dense symmetric matrices, by Cholesky's decomposition in a fixed order.
#![expect(
    clippy::indexing_slicing,
    reason = "a numeric kernel over square tables made here; indices are below the size"
)]

use libm::sqrt;

/// A symmetric matrix, row by row.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    rows: Vec<Vec<f64>>,
}

impl Matrix {
    /// `value` on the diagonal, zero elsewhere.
    pub(super) fn diagonal(size: usize, value: f64) -> Self {
        let mut rows = vec![vec![0.0; size]; size];
        for (at, row) in rows.iter_mut().enumerate() {
            row[at] = value;
        }
        Self { rows }
    }

    /// Adds `weight·(e_a − e_b)(e_a − e_b)ᵀ`; both indices are below the size.
    pub(super) fn add_pair(&mut self, a: usize, b: usize, weight: f64) {
        self.rows[a][a] += weight;
        self.rows[b][b] += weight;
        self.rows[a][b] -= weight;
        self.rows[b][a] -= weight;
    }

    /// A row; the index is below the size.
    pub(super) fn row(&self, at: usize) -> &[f64] {
        &self.rows[at]
    }

    /// The x with `self · x = right`; nothing if the matrix is not positive definite.
    pub(super) fn solve(&self, right: &[f64]) -> Option<Vec<f64>> {
        let factor = self.cholesky()?;
        Some(substitute(&factor, right))
    }

    /// The inverse; nothing if the matrix is not positive definite.
    pub(super) fn inverse(&self) -> Option<Self> {
        let factor = self.cholesky()?;
        let size = self.rows.len();
        let column = |at: usize| {
            let mut unit = vec![0.0; size];
            unit[at] = 1.0;
            substitute(&factor, &unit)
        };
        Some(Self {
            rows: (0..size).map(column).collect(),
        })
    }

    /// The lower triangle L with L·Lᵀ = self.
    fn cholesky(&self) -> Option<Vec<Vec<f64>>> {
        let size = self.rows.len();
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(size);
        for i in 0..size {
            let mut row = vec![0.0; i + 1];
            for j in 0..=i {
                let upper: &[f64] = if i == j { &row } else { &factor[j] };
                let dot: f64 = (0..j).map(|k| row[k] * upper[k]).sum();
                let rest = self.rows[i][j] - dot;
                if i == j {
                    if rest.is_nan() || rest <= 1e-12 * self.rows[i][i].abs() {
                        return None;
                    }
                    row[j] = sqrt(rest);
                } else {
                    row[j] = rest / factor[j][j];
                }
            }
            factor.push(row);
        }
        Some(factor)
    }
}

/// Solves L·Lᵀ·x = right.
fn substitute(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let size = factor.len();
    let mut x = right.to_vec();
    for i in 0..size {
        let dot: f64 = (0..i).map(|k| factor[i][k] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i][i];
    }
    for i in (0..size).rev() {
        let dot: f64 = (i + 1..size).map(|k| factor[k][i] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_matrix() {
        let mut matrix = Matrix::diagonal(3, 0.5);
        matrix.add_pair(0, 1, 2.0);
        matrix.add_pair(1, 2, 3.0);
        let inverse = matrix.inverse().unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| matrix.row(i)[k] * inverse.row(k)[j]).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        let x = matrix.solve(&[1.0, 2.0, 3.0]).unwrap();
        assert!((0.5 * x[0] + 2.0 * (x[0] - x[1]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_positive_definite_has_no_inverse() {
        let mut matrix = Matrix::diagonal(2, 0.1);
        matrix.add_pair(0, 1, -1.0);
        assert!(matrix.inverse().is_none());
        assert!(Matrix::diagonal(2, f64::NAN).inverse().is_none());
    }
}
