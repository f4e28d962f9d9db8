//! How much the views of a record agree: the correlation that plans assume, estimated from outcomes at hand.

/// Outcomes of one model, added up record by record.
///
/// ```
/// use fieldmark_fl::interval::{Agreement, view_correlation};
/// let mut model = Agreement::default();
/// model.add(&[true, true]);
/// model.add(&[false, false]);
/// assert_eq!(view_correlation(&[model]), Some(1.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    records: u64,
    /// By view: records on which it was right.
    right: Vec<u64>,
    /// Squares of the numbers of right views, over all records.
    squares: u64,
}

impl Agreement {
    /// Adds a record: whether each of its views was judged right, the same views in every call.
    pub fn add(&mut self, views: &[bool]) {
        self.right.resize(self.right.len().max(views.len()), 0);
        self.records += 1;
        let mut sum = 0u64;
        for (count, right) in self.right.iter_mut().zip(views) {
            *count += u64::from(*right);
            sum += u64::from(*right);
        }
        self.squares += sum * sum;
    }

    /// Records added.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// By view: records on which it was right.
    pub fn right(&self) -> &[u64] {
        &self.right
    }

    /// Covariance summed over ordered pairs of views, and what it would be were all views the same.
    fn parts(&self) -> (f64, f64) {
        let records = self.records.max(1) as f64;
        let rates = || self.right.iter().map(|count| *count as f64 / records);
        let (sum, squares): (f64, f64) = (rates().sum(), rates().map(|rate| rate * rate).sum());
        let both = self.squares as f64 / records - sum;
        let covariance = both - (sum * sum - squares);
        (covariance, (sum - squares) * (self.right.len() as f64 - 1.0))
    }
}

/// The mean correlation between being right on two views of a record, 0 to 1, over all pairs of views and all
/// models, each weighted by its variance: with it the variance of a record's mean is
/// (1 + (S − 1)ρ)/S of that of one view. `None` with fewer than two records or two views, or where every view is
/// always right or always wrong. What is found below 0 counts as 0.
pub fn view_correlation(models: &[Agreement]) -> Option<f64> {
    let several = |model: &&Agreement| model.records > 1 && model.right.len() > 1;
    let parts = models.iter().filter(several).map(Agreement::parts);
    let (covariance, variance) = parts.fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
    (variance > 0.0).then(|| (covariance / variance).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(records: &[&[bool]]) -> Option<f64> {
        let mut model = Agreement::default();
        records.iter().for_each(|views| model.add(views));
        view_correlation(&[model])
    }

    #[test]
    fn independent_views_have_none_and_equal_views_have_one() {
        let (yes, no) = (true, false);
        assert_eq!(of(&[&[yes, yes], &[yes, no], &[no, yes], &[no, no]]), Some(0.0));
        assert_eq!(of(&[&[yes, yes, yes], &[no, no, no]]), Some(1.0));
        assert_eq!(of(&[&[yes, no], &[no, yes]]), Some(0.0));
    }

    #[test]
    fn what_tells_nothing_gives_nothing() {
        assert_eq!(view_correlation(&[]), None);
        assert_eq!(of(&[&[true, false]]), None);
        assert_eq!(of(&[&[true], &[false]]), None);
        assert_eq!(of(&[&[true, false], &[true, false]]), None);
    }
}
