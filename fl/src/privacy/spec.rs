//! Mechanisms as JSON: a name and its parameters, read strictly, composed under the relation they name.
//!
//! `{"mechanism": "gaussian", "sigma": 1.1, "count": 10}` or
//! `{"mechanism": "mixed", "parts": [{"m": "laplace", "b": 2}, …]}`; `neighbouring` names the relation,
//! add or remove one by default. [`MECHANISMS`] lists what there is.

use serde_json::{Map, Value};
use thiserror::Error;

use super::composition::{Bound, Composition, USES_MAX};
use super::mechanism::{Mechanism, MechanismError};
use super::params::{Delta, Epsilon};
use super::relation::{AddRemove, Neighbours, Relation, ReplaceByZero, ReplaceOne};

/// Every mechanism with the parameters it takes; those in brackets have a default.
pub const MECHANISMS: &[(&str, &str)] = &[
    ("gaussian", "sigma, [l2_sensitivity], [count]"),
    ("laplace", "b, [l1_sensitivity], [count]"),
    ("discrete_gaussian", "sigma, [sensitivity], [count]"),
    ("discrete_laplace", "scale, [sensitivity], [count]"),
    ("poisson_subsampled_gaussian", "q, sigma, [steps]"),
    ("poisson_subsampled_laplace", "q, b, [steps]"),
    (
        "poisson_subsampled_discrete_gaussian",
        "q, sigma, [sensitivity], [steps]",
    ),
    (
        "sampled_without_replacement_gaussian",
        "sample_size, source_size, sigma, [steps]",
    ),
    ("tree_aggregation_single_epoch", "sigma, steps"),
    ("randomized_response", "noise_parameter, [num_buckets], [count]"),
    ("pure_dp_k_fold", "eps0, [k]"),
    ("zcdp_to_approx_dp", "rho, [count]"),
];

/// Most parts of a mixture.
const PARTS_MAX: usize = 64;

/// What is wrong with a description.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Not an object.
    #[error("parameters must be a JSON object")]
    NotAnObject,
    /// No such mechanism.
    #[error("there is no mechanism {found:?}; there are {}", names())]
    Unknown {
        /// The name given.
        found: String,
    },
    /// A parameter is missing.
    #[error("{mechanism} needs {field}")]
    Missing {
        /// The mechanism.
        mechanism: String,
        /// The parameter.
        field: &'static str,
    },
    /// A parameter has the wrong type.
    #[error("{field} is {found}, must be {wanted}")]
    Type {
        /// The parameter.
        field: String,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Parameters that the mechanism does not have.
    #[error("{mechanism} has no parameter {field:?}")]
    Leftover {
        /// The mechanism.
        mechanism: String,
        /// The parameter.
        field: String,
    },
    /// Two parameters that say different things.
    #[error("{first} and {second} contradict each other")]
    Contradiction {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A relation that is not known.
    #[error("neighbouring is {found:?}, must be add_or_remove_one, replace_one or replace_by_zero")]
    Relation {
        /// The name given.
        found: String,
    },
    /// A mechanism under a relation it is not analysed for.
    #[error("{mechanism} is not analysed for neighbours with {relation}")]
    WrongRelation {
        /// The mechanism.
        mechanism: String,
        /// The relation.
        relation: Relation,
    },
    /// Parts under different relations.
    #[error("mechanisms under different neighbour relations do not compose: {first}, and {second}")]
    MixedRelations {
        /// One.
        first: Relation,
        /// The other.
        second: Relation,
    },
    /// A mixture without parts, or with too many.
    #[error("a mixture has {found} parts, must have between 1 and {PARTS_MAX}")]
    Parts {
        /// How many.
        found: usize,
    },
    /// A parameter outside its range.
    #[error(transparent)]
    Range(#[from] MechanismError),
    /// No noise in range keeps the promise.
    #[error("no {parameter} up to {most} keeps ε = {epsilon} at δ = {delta}")]
    Unreachable {
        /// The parameter looked for.
        parameter: &'static str,
        /// The largest looked at.
        most: f64,
        /// The promise.
        epsilon: f64,
        /// The promise.
        delta: f64,
    },
    /// The mechanism has no noise to look for.
    #[error("{mechanism} has no noise scale to look for")]
    NoScale {
        /// The mechanism.
        mechanism: String,
    },
}

fn names() -> String {
    let names: Vec<&str> = MECHANISMS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// A composition under a relation that is known only at run time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AnyComposition {
    /// One record added or removed.
    AddRemove(Composition<AddRemove>),
    /// One record replaced.
    ReplaceOne(Composition<ReplaceOne>),
    /// One report replaced by the zero report.
    ReplaceByZero(Composition<ReplaceByZero>),
}

impl AnyComposition {
    /// Reads one mechanism, or a mixture, of this name with these parameters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(mechanism: &str, params: &Value) -> Result<Self, SpecError> {
        let fields = params.as_object().ok_or(SpecError::NotAnObject)?;
        if mechanism != "mixed" {
            return read_parts(&[(mechanism.to_owned(), fields.clone())]);
        }
        let mut fields = Fields::new(mechanism, fields.clone());
        let parts = fields.take("parts").ok_or_else(|| fields.missing("parts"))?;
        fields.finish()?;
        let parts = parts
            .as_array()
            .cloned()
            .ok_or_else(|| wrong("parts", &parts, "a list"))?;
        Self::read_list(&parts)
    }

    /// Reads a list of objects that each name their mechanism as `mechanism` or `m`.
    ///
    /// # Errors
    /// What is wrong with one of them, or that they do not compose.
    pub fn read_list(parts: &[Value]) -> Result<Self, SpecError> {
        let named: Result<Vec<_>, SpecError> = parts.iter().map(named).collect();
        read_parts(&named?)
    }

    /// The relation.
    pub fn relation(&self) -> Relation {
        match self {
            Self::AddRemove(_) => AddRemove::RELATION,
            Self::ReplaceOne(_) => ReplaceOne::RELATION,
            Self::ReplaceByZero(_) => ReplaceByZero::RELATION,
        }
    }

    /// The least valid upper bound on ε at δ; see [`Composition::epsilon`].
    pub fn epsilon(&self, delta: Delta) -> Bound {
        match self {
            Self::AddRemove(composition) => composition.epsilon(delta),
            Self::ReplaceOne(composition) => composition.epsilon(delta),
            Self::ReplaceByZero(composition) => composition.epsilon(delta),
        }
    }

    /// The bounds of all methods; see [`Composition::bounds`].
    pub fn bounds(&self, delta: Delta) -> Vec<Bound> {
        match self {
            Self::AddRemove(composition) => composition.bounds(delta),
            Self::ReplaceOne(composition) => composition.bounds(delta),
            Self::ReplaceByZero(composition) => composition.bounds(delta),
        }
    }

    /// The bound of the privacy loss distribution; see [`Composition::pld_bound`].
    pub fn pld_bound(&self, delta: Delta) -> Option<Bound> {
        match self {
            Self::AddRemove(composition) => composition.pld_bound(delta),
            Self::ReplaceOne(composition) => composition.pld_bound(delta),
            Self::ReplaceByZero(composition) => composition.pld_bound(delta),
        }
    }
}

/// The least noise of a mechanism for (ε, δ).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// The parameter that was looked for.
    pub parameter: &'static str,
    /// Its least value found, within a ten-thousandth; it keeps the promise.
    pub value: f64,
    /// The ε it has.
    pub bound: Bound,
}

/// The least noise for which a mechanism, described without its noise scale, keeps (ε, δ).
///
/// # Errors
/// What is wrong with the description, or that no noise keeps the promise.
pub fn calibrate(
    mechanism: &str,
    params: &Map<String, Value>,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<Calibrated, SpecError> {
    const LEAST: f64 = 0.05;
    const MOST: f64 = 1e7;
    let parameter = match canonical(mechanism) {
        "gaussian"
        | "discrete_gaussian"
        | "poisson_subsampled_gaussian"
        | "poisson_subsampled_discrete_gaussian"
        | "sampled_without_replacement_gaussian"
        | "tree_aggregation_single_epoch" => "sigma",
        "laplace" | "poisson_subsampled_laplace" => "b",
        "discrete_laplace" => "scale",
        _ => {
            return Err(SpecError::NoScale {
                mechanism: mechanism.to_owned(),
            });
        }
    };
    let at = |value: f64| -> Result<Bound, SpecError> {
        let mut params = params.clone();
        params.insert(parameter.to_owned(), value.into());
        Ok(AnyComposition::read(mechanism, &Value::Object(params))?.epsilon(delta))
    };
    let keeps = |bound: &Bound| bound.epsilon <= epsilon.value();
    // Narrow noise may be out of a mechanism's range; then it does not keep the promise either.
    let (mut low, mut high) = (LEAST, 1.0);
    let mut bound = at(high)?;
    while !keeps(&bound) {
        low = high;
        high *= 4.0;
        if high > MOST {
            return Err(SpecError::Unreachable {
                parameter,
                most: MOST,
                epsilon: epsilon.value(),
                delta: delta.value(),
            });
        }
        bound = at(high)?;
    }
    while high / low > 1.0001 {
        let middle = libm::sqrt(low * high);
        match at(middle) {
            Ok(found) if keeps(&found) => (high, bound) = (middle, found),
            _ => low = middle,
        }
    }
    Ok(Calibrated {
        parameter,
        value: high,
        bound,
    })
}

fn canonical(name: &str) -> &str {
    match name {
        "poisson_gaussian" => "poisson_subsampled_gaussian",
        "poisson_laplace" => "poisson_subsampled_laplace",
        "pure" => "pure_dp_k_fold",
        "zcdp" => "zcdp_to_approx_dp",
        other => other,
    }
}

/// The name and the parameters of an object that has both.
fn named(part: &Value) -> Result<(String, Map<String, Value>), SpecError> {
    let mut fields = part.as_object().ok_or(SpecError::NotAnObject)?.clone();
    let name = fields.remove("mechanism").or_else(|| fields.remove("m"));
    let name = name.ok_or(SpecError::Missing {
        mechanism: "every part".to_owned(),
        field: "mechanism",
    })?;
    let name = name.as_str().ok_or_else(|| wrong("mechanism", &name, "a name"))?;
    Ok((name.to_owned(), fields))
}

fn read_parts(parts: &[(String, Map<String, Value>)]) -> Result<AnyComposition, SpecError> {
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err(SpecError::Parts { found: parts.len() });
    }
    let mut fields: Vec<Fields> = parts
        .iter()
        .map(|(name, fields)| Fields::new(name, fields.clone()))
        .collect();
    let mut relation = None;
    for part in &mut fields {
        let own = part.relation()?;
        let first = *relation.get_or_insert(own);
        if first != own {
            return Err(SpecError::MixedRelations { first, second: own });
        }
    }
    Ok(match relation {
        Some(Relation::ReplaceOneRecord) => AnyComposition::ReplaceOne(compose(fields, replace_one)?),
        Some(Relation::ReplaceReportByZero) => AnyComposition::ReplaceByZero(compose(fields, common)?),
        _ => AnyComposition::AddRemove(compose(fields, add_remove)?),
    })
}

/// Reads one mechanism and how often it is used.
type Read<N> = fn(&mut Fields) -> Result<(Mechanism<N>, u64), SpecError>;

fn compose<N: Neighbours>(parts: Vec<Fields>, read: Read<N>) -> Result<Composition<N>, SpecError> {
    let mut composition = Composition::new();
    for mut part in parts {
        let (mechanism, count) = read(&mut part)?;
        part.finish()?;
        composition = composition.and(mechanism, count);
    }
    Ok(composition)
}

fn add_remove(fields: &mut Fields) -> Result<(Mechanism<AddRemove>, u64), SpecError> {
    match canonical(&fields.mechanism) {
        "poisson_subsampled_gaussian" => {
            let noise = Mechanism::gaussian(fields.number("sigma")?)?;
            Ok((
                noise.on_poisson_sample(fields.number("q")?)?,
                fields.count("steps")?,
            ))
        }
        "poisson_subsampled_discrete_gaussian" => {
            let sensitivity = fields.optional_whole("sensitivity")?.unwrap_or(1);
            let noise = Mechanism::discrete_gaussian(fields.number("sigma")?, sensitivity)?;
            Ok((
                noise.on_poisson_sample(fields.number("q")?)?,
                fields.count("steps")?,
            ))
        }
        "poisson_subsampled_laplace" => {
            let noise = Mechanism::laplace(fields.number("b")?)?;
            Ok((
                noise.on_poisson_sample(fields.number("q")?)?,
                fields.count("steps")?,
            ))
        }
        _ => common(fields),
    }
}

fn replace_one(fields: &mut Fields) -> Result<(Mechanism<ReplaceOne>, u64), SpecError> {
    match canonical(&fields.mechanism) {
        "sampled_without_replacement_gaussian" => {
            let noise = Mechanism::gaussian(fields.number("sigma")?)?;
            let sample = fields.whole("sample_size")?;
            let mechanism = noise.on_sample(sample, fields.whole("source_size")?)?;
            Ok((mechanism, fields.count("steps")?))
        }
        "randomized_response" => {
            let buckets = fields.optional_whole("num_buckets")?.unwrap_or(2);
            let buckets = u32::try_from(buckets).unwrap_or(u32::MAX);
            let mechanism = Mechanism::randomized_response(fields.number("noise_parameter")?, buckets)?;
            Ok((mechanism, fields.count("count")?))
        }
        _ => common(fields),
    }
}

/// Mechanisms that are the same under every relation.
fn common<N: Neighbours>(fields: &mut Fields) -> Result<(Mechanism<N>, u64), SpecError> {
    let mechanism = match canonical(&fields.mechanism) {
        "gaussian" => {
            let sensitivity = fields.optional_number("l2_sensitivity")?.unwrap_or(1.0);
            Mechanism::gaussian(fields.number("sigma")? / sensitivity)?
        }
        "laplace" => {
            let sensitivity = fields.optional_number("l1_sensitivity")?.unwrap_or(1.0);
            let scale = fields.optional_number("b")?;
            let scale = scale.map_or_else(|| fields.number("scale_b"), Ok)?;
            Mechanism::laplace(scale / sensitivity)?
        }
        "discrete_gaussian" => {
            let sensitivity = fields.optional_whole("sensitivity")?.unwrap_or(1);
            Mechanism::discrete_gaussian(fields.number("sigma")?, sensitivity)?
        }
        "discrete_laplace" => {
            let sensitivity = fields.optional_whole("sensitivity")?.unwrap_or(1);
            Mechanism::discrete_laplace(fields.laplace_scale()?, sensitivity)?
        }
        "tree_aggregation_single_epoch" => {
            let steps = fields.whole("steps")?;
            return Ok((Mechanism::tree_aggregation(fields.number("sigma")?, steps)?, 1));
        }
        "pure_dp_k_fold" => {
            let mechanism = Mechanism::pure(fields.number("eps0")?)?;
            return Ok((mechanism, fields.count("k")?));
        }
        "zcdp_to_approx_dp" => Mechanism::concentrated(fields.number("rho")?)?,
        name if MECHANISMS.iter().any(|(known, _)| *known == name) => {
            return Err(SpecError::WrongRelation {
                mechanism: name.to_owned(),
                relation: N::RELATION,
            });
        }
        name => {
            return Err(SpecError::Unknown {
                found: name.to_owned(),
            });
        }
    };
    Ok((mechanism, fields.count("count")?))
}

mod fields;
pub(super) use fields::Fields;
use fields::wrong;

#[cfg(test)]
mod tests;
