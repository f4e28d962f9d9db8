//! Challenges that would protect nobody.

use std::fs;

use anyhow::Result;
use fieldmark_tests::{Answer, Nodes, People, Programs, Spec};
use tempfile::TempDir;

use crate::{AGGREGATOR, COMPANY, FAILED, LIMIT, NOT_FOUND, refused, trained_package};

/// An operator and those around it, all with nodes.
struct Market {
    folder: TempDir,
    people: People,
    nodes: Nodes,
    sound: Spec,
}

impl Market {
    /// Once this returns, a sound challenge was signed: whatever is refused then is refused for itself.
    fn open() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let cast = [
            ("north", AGGREGATOR),
            ("oak", AGGREGATOR),
            ("pine", AGGREGATOR),
            ("acme", COMPANY),
        ];
        let people = People::init(
            &Programs::beside_this_test()?,
            &folder.path().join("nodes"),
            &cast,
        )?;
        people.trust(&["north", "oak", "pine"])?;
        let nodes = Nodes::start(&people, folder.path())?;
        let north = people.named("north")?;
        let package = trained_package(north.programs(), folder.path())?;
        north.ask(&["publish", &package.to_string_lossy()])?;
        let sound = Spec {
            name: "sound".to_owned(),
            models: vec!["digits-logistic@1.0.0".to_owned()],
            committee: people.identities(&["north", "oak", "pine"])?,
            eligible: people.identities(&["north", "acme"])?,
            epsilon: 2.0,
            records_max: 50,
            window_seconds: 60,
            min_batch: 2,
            reports_expected: 2,
            replicate_groups: 1,
        };
        let path = folder.path().join("sound.toml");
        fs::write(&path, sound.to_toml())?;
        north.ask_until_found(
            &["challenge", "create", &path.to_string_lossy()],
            LIMIT,
            || Ok(()),
        )?;
        Ok(Self {
            folder,
            people,
            nodes,
            sound,
        })
    }

    fn create(&self, spec: &Spec) -> Result<Answer> {
        let mut spec = spec.clone();
        if spec.name == self.sound.name {
            // A name in use would be refused before what is wrong here.
            spec.name.push_str("-again");
        }
        self.create_as_it_is(&spec)
    }

    fn create_as_it_is(&self, spec: &Spec) -> Result<Answer> {
        let path = self.folder.path().join("spec.toml");
        fs::write(&path, spec.to_toml())?;
        self.people
            .named("north")?
            .run(&["challenge", "create", &path.to_string_lossy()])
    }

    fn with_committee(&self, names: &[&str]) -> Result<Spec> {
        Ok(Spec {
            committee: self.people.identities(names)?,
            ..self.sound.clone()
        })
    }
}

#[test]
fn challenges_that_would_protect_nobody_are_refused() -> Result<()> {
    let market = Market::open()?;
    let create = |spec: &Spec| market.create(spec);
    let again = market.create_as_it_is(&market.sound)?;
    refused(&again, FAILED, &["sound", "another name"]);
    refused(
        &create(&market.with_committee(&["north"])?)?,
        FAILED,
        &["committee", "2"],
    );
    refused(
        &create(&market.with_committee(&["north", "oak", "oak"])?)?,
        FAILED,
        &["twice"],
    );
    let company = market.with_committee(&["north", "oak", "acme"])?;
    refused(&create(&company)?, FAILED, &["aggregate", "--role aggregator"]);
    for epsilon in [1000.0, 0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(
            &create(&Spec {
                epsilon,
                ..market.sound.clone()
            })?,
            FAILED,
            &["epsilon"],
        );
    }
    refused(
        &create(&Spec {
            min_batch: 1,
            reports_expected: 1,
            replicate_groups: 1,
            ..market.sound.clone()
        })?,
        FAILED,
        &["batch"],
    );
    market.only_the_sound_one_is_known()?;
    market.nodes.stop()
}

#[test]
fn challenges_that_name_what_nobody_knows_are_refused() -> Result<()> {
    let market = Market::open()?;
    let stranger = "ab".repeat(32);
    for unknown in ["nobody", &stranger] {
        let mut spec = market.with_committee(&["north", "oak"])?;
        spec.committee.push(unknown.to_owned());
        refused(&market.create(&spec)?, NOT_FOUND, &["committee", unknown]);
    }
    let spec = Spec {
        models: vec!["digits-nothing".to_owned()],
        ..market.sound.clone()
    };
    refused(&market.create(&spec)?, NOT_FOUND, &["digits-nothing"]);
    market.only_the_sound_one_is_known()?;
    market.nodes.stop()
}

impl Market {
    fn only_the_sound_one_is_known(&self) -> Result<()> {
        let known = self.people.named("north")?.ask(&["challenge", "list"])?;
        let listed = known.get("challenges").and_then(serde_json::Value::as_array);
        assert_eq!(listed.map(Vec::len), Some(1), "{known}");
        Ok(())
    }
}
