//! One condition of a trust policy: operator, key, values, by IAM's rules of evaluation.
//!
//! A key that the request does not have fails a positive operator and fulfils a negated one, one with
//! `IfExists`, and `ForAllValues`.

use super::context::{Context, is_known};
use super::policy::TrustPolicyError;

/// `Operator: { key: values }`.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    quantifier: Option<Quantifier>,
    kind: Kind,
    negated: bool,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Any,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Equals,
    EqualsIgnoreCase,
    Like,
    NumericEquals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
    Null,
}

/// Name, how it compares, and whether it is negated.
const OPERATORS: &[(&str, Kind, bool)] = &[
    ("StringEquals", Kind::Equals, false),
    ("StringNotEquals", Kind::Equals, true),
    ("StringEqualsIgnoreCase", Kind::EqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Kind::EqualsIgnoreCase, true),
    ("StringLike", Kind::Like, false),
    ("StringNotLike", Kind::Like, true),
    ("ArnEquals", Kind::Like, false),
    ("ArnLike", Kind::Like, false),
    ("ArnNotEquals", Kind::Like, true),
    ("ArnNotLike", Kind::Like, true),
    ("Bool", Kind::EqualsIgnoreCase, false),
    ("NumericEquals", Kind::NumericEquals, false),
    ("NumericNotEquals", Kind::NumericEquals, true),
    ("NumericLessThan", Kind::LessThan, false),
    ("NumericLessThanEquals", Kind::LessThanEquals, false),
    ("NumericGreaterThan", Kind::GreaterThan, false),
    ("NumericGreaterThanEquals", Kind::GreaterThanEquals, false),
    ("Null", Kind::Null, false),
];

impl Condition {
    pub(super) fn read(
        operator: &str,
        key: &str,
        values: Vec<String>,
    ) -> Result<Self, TrustPolicyError> {
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAnyValue", name)) => (Some(Quantifier::Any), name),
            Some(("ForAllValues", name)) => (Some(Quantifier::All), name),
            _ => (None, operator),
        };
        let if_exists = name.ends_with("IfExists");
        let name = name.strip_suffix("IfExists").unwrap_or(name);
        let known = OPERATORS.iter().find(|(known, _, _)| *known == name);
        let Some(&(_, kind, negated)) = known else {
            return Err(TrustPolicyError::Operator(operator.to_owned()));
        };
        if kind == Kind::Null && (if_exists || quantifier.is_some()) {
            return Err(TrustPolicyError::Operator(operator.to_owned()));
        }
        if !is_known(key) {
            return Err(TrustPolicyError::Key(key.to_owned()));
        }
        if !values.iter().all(|value| kind.takes(value)) {
            return Err(TrustPolicyError::Value(key.to_owned()));
        }
        Ok(Self {
            quantifier,
            kind,
            negated,
            if_exists,
            key: key.to_lowercase(),
            values,
        })
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key);
        if self.kind == Kind::Null {
            let absent = if found.is_none() { "true" } else { "false" };
            return self.values.iter().any(|value| value == absent);
        }
        let Some(found) = found else {
            return self.if_exists
                || match self.quantifier {
                    Some(Quantifier::All) => true,
                    Some(Quantifier::Any) => false,
                    None => self.negated,
                };
        };
        let fits = |value: &String| {
            let mut wanted = self.values.iter();
            wanted.any(|wanted| self.kind.matches(wanted, value)) != self.negated
        };
        match self.quantifier {
            Some(Quantifier::All) => found.iter().all(fits),
            // A negated operator fails as soon as one value is what it excludes.
            None if self.negated => found.iter().all(fits),
            Some(Quantifier::Any) | None => found.iter().any(fits),
        }
    }
}

impl Kind {
    /// Whether a policy may write `value`; of the variables only the three that stand for letters are known.
    fn takes(self, value: &str) -> bool {
        match self {
            Self::Equals | Self::EqualsIgnoreCase | Self::Like => letters(value).is_some(),
            Self::Null => matches!(value, "true" | "false"),
            _ => value.parse::<i64>().is_ok(),
        }
    }

    fn matches(self, wanted: &str, found: &str) -> bool {
        let compare = |holds: fn(i64, i64) -> bool| match (found.parse(), wanted.parse()) {
            (Ok(found), Ok(wanted)) => holds(found, wanted),
            _ => false,
        };
        match self {
            Self::Equals => plain(wanted) == found,
            Self::EqualsIgnoreCase => plain(wanted).to_lowercase() == found.to_lowercase(),
            Self::Like => like(wanted, found),
            Self::NumericEquals => compare(|found, wanted| found == wanted),
            Self::LessThan => compare(|found, wanted| found < wanted),
            Self::LessThanEquals => compare(|found, wanted| found <= wanted),
            Self::GreaterThan => compare(|found, wanted| found > wanted),
            Self::GreaterThanEquals => compare(|found, wanted| found >= wanted),
            Self::Null => false,
        }
    }
}

/// A letter of a condition's value, and whether it was written as a variable, so that it has no other meaning.
type Letter = (char, bool);

/// The letters of `value`: `${$}`, `${*}` and `${?}` are one each (IAM User Guide, "Policy variables"). `None`
/// where another variable begins.
fn letters(value: &str) -> Option<Vec<Letter>> {
    const ESCAPED: [(&str, char); 3] = [("${$}", '$'), ("${*}", '*'), ("${?}", '?')];
    let mut rest = value;
    let mut found = Vec::new();
    while let Some(letter) = rest.chars().next() {
        let escaped = ESCAPED
            .iter()
            .find_map(|(text, letter)| Some((rest.strip_prefix(text)?, *letter)));
        if let Some((after, letter)) = escaped {
            found.push((letter, true));
            rest = after;
        } else if rest.starts_with("${") {
            return None;
        } else {
            found.push((letter, false));
            rest = rest.strip_prefix(letter).unwrap_or("");
        }
    }
    Some(found)
}

/// The text that `value` stands for where nothing in it is a wildcard.
fn plain(value: &str) -> String {
    let letters = letters(value).unwrap_or_default().into_iter();
    letters.map(|(letter, _)| letter).collect()
}

/// Whether `text` fits `pattern`: `*` stands for any text, `?` for one character.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    // What names a variable was refused when the policy was read.
    let Some(pattern) = letters(pattern) else {
        return false;
    };
    // One row of the usual table: which prefixes of the text the pattern so far can be.
    let text: Vec<char> = text.chars().collect();
    let mut row = vec![false; text.len() + 1];
    if let Some(empty) = row.first_mut() {
        *empty = true;
    }
    for wanted in pattern {
        let before = row.clone();
        let mut reached = false;
        for (at, fits) in row.iter_mut().enumerate() {
            let here = before.get(at).copied().unwrap_or(false);
            let one_less = at.checked_sub(1);
            let step = one_less.is_some_and(|one_less| {
                let fits = wanted == ('?', false) || text.get(one_less) == Some(&wanted.0);
                fits && before.get(one_less).copied().unwrap_or(false)
            });
            reached |= here;
            *fits = if wanted == ('*', false) {
                reached
            } else {
                step
            };
        }
    }
    row.last().copied().unwrap_or(false)
}
