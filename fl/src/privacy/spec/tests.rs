//! Descriptions as people write them.

use serde_json::json;

use super::*;

fn error(mechanism: &str, params: &Value) -> String {
    AnyComposition::read(mechanism, params).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said() {
    assert!(error("gausian", &json!({})).contains("there is no mechanism \"gausian\"; there are gaussian"));
    assert_eq!(error("gaussian", &json!({})), "gaussian needs sigma");
    assert_eq!(
        error("gaussian", &json!({"sigma": "x"})),
        "sigma is \"x\", must be a number above 0"
    );
    assert_eq!(
        error("gaussian", &json!({"sigma": 1, "sgima": 2})),
        "gaussian has no parameter \"sgima\""
    );
    assert!(error("gaussian", &json!({"sigma": 1, "count": 1.5})).contains("whole number"));
    assert!(error("gaussian", &json!([])).contains("object"));
    assert!(error("mixed", &json!({"parts": []})).contains("0 parts"));
    assert!(error("discrete_laplace", &json!({"scale": 2, "parameter_a": 2})).contains("contradict"));
    let wrong = json!({"q": 0.1, "sigma": 1, "neighbouring": "replace_one"});
    assert!(error("poisson_gaussian", &wrong).contains("not analysed"));
    let nobody = json!({"sigma": 1, "neighbouring": "friends"});
    assert!(error("gaussian", &nobody).contains("friends"));
}

#[test]
fn parts_under_different_relations_are_refused() {
    let parts = json!({"parts": [
        {"m": "gaussian", "sigma": 1},
        {"m": "randomized_response", "noise_parameter": 0.5},
    ]});
    assert!(error("mixed", &parts).contains("do not compose"));
}

#[test]
fn calibrated_noise_keeps_the_promise_and_less_does_not() {
    let (epsilon, delta) = (Epsilon::new(1.0).unwrap(), Delta::new(1e-6).unwrap());
    for (mechanism, params) in [
        ("gaussian", json!({"count": 3})),
        ("laplace", json!({})),
        ("discrete_gaussian", json!({"sensitivity": 2})),
        ("poisson_subsampled_gaussian", json!({"q": 0.01, "steps": 100})),
    ] {
        let params = params.as_object().unwrap();
        let found = calibrate(mechanism, params, epsilon, delta).unwrap();
        assert!(found.bound.epsilon <= 1.0, "{found:?}");
        let mut less = params.clone();
        less.insert(found.parameter.to_owned(), (found.value * 0.999).into());
        let less = AnyComposition::read(mechanism, &Value::Object(less)).unwrap();
        assert!(less.epsilon(delta).epsilon > 1.0, "{mechanism} {found:?}");
    }
    let none = calibrate("zcdp", &Map::new(), epsilon, delta).unwrap_err();
    assert!(none.to_string().contains("no noise scale"));
}

#[test]
fn a_sampled_discrete_gaussian_is_answered_by_rdp_and_pld_alike() {
    let delta = Delta::new(1e-6).unwrap();
    let params = json!({"q": 0.01, "sigma": 8, "sensitivity": 4, "steps": 1000});
    let composition = AnyComposition::read("poisson_subsampled_discrete_gaussian", &params).unwrap();
    let of = |method: &str| {
        let bounds = composition.bounds(delta);
        let bound = bounds.iter().find(|bound| bound.method.name() == method);
        bound.map(|bound| bound.epsilon).unwrap()
    };
    let (rdp, pld) = (of("rdp"), of("pld"));
    assert!(pld <= rdp && rdp < 1.25 * pld, "{rdp} {pld}");
    let wrong = json!({"q": 0.01, "sigma": 8, "neighbouring": "replace_one"});
    assert!(error("poisson_subsampled_discrete_gaussian", &wrong).contains("not analysed"));
}
