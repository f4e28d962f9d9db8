//! What a table would be without one of its replicate groups: whether one part of the contributors makes the
//! result.

use super::{BoardError, BoardInput, ScoreTable, weighted_board};
use crate::interval::Weights;

/// One replicate group's part of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group's sum of all aggregators' shares.
    pub aggregate: Vec<i128>,
    /// Reports accepted in it.
    pub contributors: u64,
}

/// The table of `input` without each of the groups in turn, in their order. `input` is that of all of them,
/// to which `aggregators` added their noise once for every group; nothing comes of fewer than two groups.
///
/// A table without a group has the noise of the others alone, and fewer records: its intervals are wider than
/// those of the whole.
///
/// # Errors
/// As [`weighted_board`].
///
/// ```
/// use fieldmark_fl::board::{BoardInput, Group, without_each};
/// use fieldmark_fl::interval::Weights;
/// use fieldmark_fl::schema::{Extra, Schema, SchemaParams, Statistics};
///
/// let statistics = Statistics { paired: false, calibration: false, extra: Extra::PLAIN };
/// let params = SchemaParams { models: 1, slices: 1, cap: 100, statistics };
/// let weight = i128::from(Schema::new(&params)?.entries()[0].weight);
/// // 300 records in each group, half of them right, and half of what is left.
/// let group = Group { aggregate: vec![300 * weight, 0], contributors: 3 };
/// let input = BoardInput {
///     models: vec!["a".into()], slices: vec!["all".into()], schema: params,
///     aggregate: vec![600 * weight, 0], sigma_squared: 10, aggregators: 6, contributors: 6,
/// };
/// let tables = without_each(&input, &[group.clone(), group], 3, &Weights::equals(1))?;
/// assert_eq!(tables.len(), 2);
/// assert_eq!(tables[0].contributors, 3);
/// assert_eq!(tables[0].rows[0].field.value().unwrap().to_f64(), 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn without_each(
    input: &BoardInput,
    groups: &[Group],
    aggregators: u8,
    weights: &Weights,
) -> Result<Vec<ScoreTable>, BoardError> {
    if groups.len() < 2 {
        return Ok(Vec::new());
    }
    let others = u8::try_from(groups.len() - 1).unwrap_or(u8::MAX);
    let without = |group: &Group| {
        let rest = input.aggregate.iter().zip(&group.aggregate);
        let rest = BoardInput {
            aggregate: rest.map(|(whole, part)| whole - part).collect(),
            aggregators: aggregators.saturating_mul(others),
            contributors: input.contributors.saturating_sub(group.contributors),
            ..input.clone()
        };
        weighted_board(&rest, weights)
    };
    groups.iter().map(without).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Extra, Schema, SchemaParams, Statistics};

    fn input(models: u16) -> (BoardInput, i128, i128) {
        let params = SchemaParams {
            models,
            slices: 1,
            cap: 1_000,
            statistics: Statistics {
                paired: false,
                calibration: false,
                extra: Extra::PLAIN,
            },
        };
        let schema = Schema::new(&params).unwrap();
        let weight = |at: usize| i128::from(schema.entries()[at].weight);
        let input = BoardInput {
            models: (0..models).map(|model| format!("m{model}")).collect(),
            slices: vec!["all".into()],
            schema: params,
            aggregate: Vec::new(),
            sigma_squared: 4,
            aggregators: 0,
            contributors: 30,
        };
        (input, weight(0), weight(1))
    }

    /// A group of `records`, of which each model gets its part right.
    fn group(records: i128, right: &[i128], weights: (i128, i128)) -> Group {
        let centred = right.iter().map(|right| weights.1 * (2 * right - records));
        Group {
            aggregate: std::iter::once(records * weights.0).chain(centred).collect(),
            contributors: 10,
        }
    }

    #[test]
    fn one_group_that_makes_the_result_is_seen() {
        let (mut input, count, correct) = input(2);
        let weights = (count, correct);
        let groups = [
            group(4_000, &[2_000, 2_800], weights),
            group(4_000, &[2_000, 2_800], weights),
            group(4_000, &[4_000, 400], weights),
        ];
        input.aggregate = (0..3)
            .map(|at| groups.iter().map(|group| group.aggregate[at]).sum())
            .collect();
        input.aggregators = 9;
        let equal = Weights::equals(1);
        let whole = weighted_board(&input, &equal).unwrap();
        let tables = without_each(&input, &groups, 3, &equal).unwrap();
        let field = |table: &ScoreTable, model: usize| table.rows[model].field.value().unwrap().to_f64();
        assert!(field(&whole, 0) > field(&whole, 1));
        // Without the third group the second model leads, and that is certain.
        assert!((field(&tables[2], 0) - 0.5).abs() < 1e-6 && (field(&tables[2], 1) - 0.7).abs() < 1e-6);
        assert_ne!(tables[2].rows[0].rank, whole.rows[0].rank);
        assert_eq!(tables[0].rows[0].rank, whole.rows[0].rank);
        assert!(tables.iter().all(|table| table.contributors == 20));
    }

    #[test]
    fn what_is_left_has_the_noise_of_the_other_groups_alone() {
        let (mut input, count, correct) = input(1);
        let groups = [
            group(500, &[400], (count, correct)),
            group(500, &[400], (count, correct)),
        ];
        input.aggregate = (0..2).map(|at| 2 * groups[0].aggregate[at]).collect();
        input.aggregators = 6;
        let equal = Weights::equals(1);
        let without = without_each(&input, &groups, 3, &equal).unwrap();
        let alone = BoardInput {
            aggregate: groups[0].aggregate.clone(),
            aggregators: 3,
            contributors: 20,
            ..input.clone()
        };
        assert_eq!(without[0], weighted_board(&alone, &equal).unwrap());
        assert!(without_each(&input, &groups[..1], 3, &equal).unwrap().is_empty());
    }
}
