//! A small version of the published study: every setting, few challenges.

use super::*;

/// Challenges of each structure and setting here; the published table has 10,000.
const CHALLENGES: u64 = 120;

/// All structures together, by number of records and protection.
fn study() -> Vec<(u32, Protection, Tally)> {
    let studies: Vec<_> = STRUCTURES.iter().map(|&s| Study::new(s).unwrap()).collect();
    let mut all = Vec::new();
    for records in RECORDS {
        let mut sum = vec![Tally::new(MODELS, SLICES); protections().len()];
        for study in &studies {
            let tallies = study.run(records, &protections(), 0..CHALLENGES).unwrap();
            sum.iter_mut()
                .zip(&tallies)
                .for_each(|(sum, tally)| sum.merge(tally));
        }
        all.extend(
            protections()
                .into_iter()
                .zip(sum)
                .map(|(p, tally)| (records, p, tally)),
        );
    }
    all
}

fn pooled(cells: &[CellTally]) -> CellTally {
    cells.iter().fold(CellTally::default(), |mut sum, cell| {
        sum.merge(cell);
        sum
    })
}

#[test]
fn every_setting_covers_what_it_claims() {
    for (records, protection, tally) in study() {
        let about = format!("{records} records, {protection:?}");
        for cells in [&tally.fields, &tally.slices] {
            let cell = pooled(cells);
            if cell.estimated < 500 {
                continue;
            }
            // Challenges share their noise between cells, so a setting's error is that of
            // some hundreds of independent trials: three points are about three deviations.
            assert!(
                cell.noise_coverage() > 0.92,
                "{about}: noise {}",
                cell.noise_coverage()
            );
            assert!(
                cell.full_coverage() > 0.92,
                "{about}: full {}",
                cell.full_coverage()
            );
            if cell.marks() < 0.01 {
                assert!(
                    cell.full_coverage() < 0.98,
                    "{about}: full {}",
                    cell.full_coverage()
                );
            }
        }
        assert!(
            tally.ranks.confidence() > 0.93,
            "{about}: ranks {}",
            tally.ranks.confidence()
        );
    }
}

#[test]
fn parts_of_a_study_add_up_to_the_whole() {
    let study = Study::new(Structure::Field).unwrap();
    let whole = study.run(100, &protections(), 0..30).unwrap();
    let mut parts = study.run(100, &protections(), 17..30).unwrap();
    for (sum, more) in parts
        .iter_mut()
        .zip(study.run(100, &protections(), 0..17).unwrap())
    {
        sum.merge(&more);
    }
    assert_eq!(parts, whole);
}

#[test]
fn a_hundred_records_drown_in_the_noise_of_a_small_epsilon() {
    let study = Study::new(Structure::Field).unwrap();
    let protection = Protection {
        epsilon: 0.5,
        aggregators: 5,
    };
    let tally = study.run(100, &[protection], 0..200).unwrap().remove(0);
    assert!(tally.fields[0].estimable() < 0.05);
}

#[test]
fn equal_models_are_equal_and_balanced_records_never_vary() {
    for structure in [Structure::Equal, Structure::Balanced] {
        let study = Study::new(structure).unwrap();
        let rates = study.true_slices();
        assert_eq!(rates[0], rates[1]);
        assert_eq!(rates[1], rates[2]);
    }
    assert_eq!(
        Study::new(Structure::Balanced).unwrap().true_slices()[0],
        vec![0.6; 5]
    );
}
