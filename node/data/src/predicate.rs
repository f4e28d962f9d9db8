//! Conditions on the columns of a row, by which slices are made: `night = "hour >= 20 or hour < 6"`.
//!
//! ```text
//! condition  = all { "or" all }
//! all        = one { "and" one }
//! one        = "not" one | "(" condition ")" | comparison
//! comparison = name ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") literal
//!            | name ["not"] "in" "[" literal { "," literal } "]"
//!            | name "is" ["not"] "missing"
//! name       = letters, digits, "_", "-" and ".", starting with a letter or "_", or anything in `backticks`
//! literal    = a number, or a text in 'single' or "double" quotes
//! ```
//!
//! Names are `label`, `group`, `slice` and the attributes of the dataset. Next to a number a value is
//! compared as a number, next to a text as text, byte by byte. A value that is missing, or that is no
//! number where one is asked for, makes its comparison false, `!=` and `not in` too; only `is missing`
//! tells it. A condition has at most 4,096 bytes, 256 comparisons and 32 levels.
//!
//! Nothing here knows a file: what a name stands for comes from the caller.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

/// Most bytes of a condition.
pub const CONDITION_BYTES_MAX: usize = 4096;
/// Most comparisons of a condition.
pub const COMPARISONS_MAX: usize = 256;
/// Most levels of brackets and `not`.
pub const LEVELS_MAX: usize = 32;

/// A parsed condition.
///
/// ```
/// use fieldmark_node_data::predicate::Predicate;
/// let night = Predicate::parse("hour >= 20 or hour < 6")?;
/// let hour = |value: &'static str| move |name: &str| (name == "hour").then_some(value);
/// assert!(night.holds(hour("23")) && !night.holds(hour("12")));
/// assert!(Predicate::parse("hour >= ").unwrap_err().to_string().contains("character 9"));
/// # Ok::<(), fieldmark_node_data::predicate::PredicateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    root: Node,
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {detail}")]
pub struct PredicateError {
    /// Where, counted from 1.
    pub at: usize,
    /// What was expected and what was found.
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Compare(String, Comparison, Literal),
    In(String, Vec<Literal>),
    NotIn(String, Vec<Literal>),
    Missing(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Number(f64),
    Text(String),
}

impl Predicate {
    /// Parses a condition.
    ///
    /// # Errors
    /// [`PredicateError`] naming the place, what was expected and what was found.
    pub fn parse(text: &str) -> Result<Self, PredicateError> {
        parse::parse(text).map(|root| Self { root })
    }

    /// Whether the condition holds where `value` gives the value of a name, or `None` when it is missing.
    pub fn holds<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.root.holds(&value)
    }

    /// The names it asks for, in their order, some more than once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.names(&mut names);
        names
    }
}

impl Node {
    fn holds<'v>(&self, value: &impl Fn(&str) -> Option<&'v str>) -> bool {
        let is_one_of = |found: &str, list: &[Literal]| {
            list.iter()
                .any(|literal| literal.compared(found) == Some(std::cmp::Ordering::Equal))
        };
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(value)),
            Self::All(nodes) => nodes.iter().all(|node| node.holds(value)),
            Self::Not(node) => !node.holds(value),
            Self::Missing(name) => value(name).is_none(),
            Self::In(name, list) => value(name).is_some_and(|found| is_one_of(found, list)),
            Self::NotIn(name, list) => value(name).is_some_and(|found| !is_one_of(found, list)),
            Self::Compare(name, comparison, literal) => value(name)
                .and_then(|found| literal.compared(found))
                .is_some_and(|order| comparison.holds(order)),
        }
    }

    fn names<'n>(&'n self, into: &mut Vec<&'n str>) {
        match self {
            Self::Any(nodes) | Self::All(nodes) => nodes.iter().for_each(|node| node.names(into)),
            Self::Not(node) => node.names(into),
            Self::Compare(name, ..) | Self::In(name, _) | Self::NotIn(name, _) | Self::Missing(name) => {
                into.push(name);
            }
        }
    }
}

impl Comparison {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl Literal {
    /// How a value stands to this literal; `None` when it is no number and the literal is one.
    fn compared(&self, found: &str) -> Option<std::cmp::Ordering> {
        match self {
            Self::Text(text) => Some(found.cmp(text.as_str())),
            Self::Number(number) => found.trim().parse::<f64>().ok()?.partial_cmp(number),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}
