//! Every reference row is computed and lies inside its band.

use fieldmark_fl::privacy::reference;

#[test]
fn every_reference_row_is_inside_its_band() {
    let rows = reference::read(include_bytes!("data/dp_reference.csv")).unwrap();
    assert_eq!(rows.len(), 37);
    for row in rows {
        let figure = row.figure().unwrap_or_else(|error| panic!("{}: {error}", row.id));
        assert!(
            row.contains(figure.value),
            "{} {}: {} by {} is not in {:?}..{}",
            row.id,
            row.mechanism,
            figure.value,
            figure.method,
            row.low,
            row.high
        );
    }
}

#[test]
fn the_loss_distribution_alone_is_inside_where_it_has_a_bound() {
    let rows = reference::read(include_bytes!("data/dp_reference.csv")).unwrap();
    let mut seen = 0;
    for row in rows.iter().filter(|row| row.delta.is_some()) {
        let Ok(composition) = row.composition() else {
            continue;
        };
        let Some(bound) = composition.pld_bound(row.delta().unwrap()) else {
            continue;
        };
        seen += 1;
        assert!(
            row.contains(bound.epsilon),
            "{}: {bound:?} {:?}..{}",
            row.id,
            row.low,
            row.high
        );
        assert!(
            bound.floor.is_some_and(|floor| floor <= bound.epsilon),
            "{}: {bound:?}",
            row.id
        );
    }
    assert!(seen > 20, "{seen}");
}
