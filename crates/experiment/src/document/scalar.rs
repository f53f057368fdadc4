//! What an unquoted word means: the core schema of YAML 1.2.2, section 10.3.2. `yes`, `on` and `1_000`
//! are text there; so are they here. Quoted words are always text and never come here.

use serde_json::{Number, Value};

/// Numbers of a scenario lie within plus and minus this (1e18): it fits 64 bits, and no quantity of a
/// service comes near.
pub const MAX_NUMBER: f64 = 1e18;

/// The value of an unquoted word, or what is wrong with it.
pub(super) fn resolve(word: &str) -> Result<Value, String> {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        _ if is_not_finite(word) => Err(format!("expected a finite number, found `{word}`")),
        _ => match number(word) {
            Some(result) => result,
            None => Ok(Value::String(word.to_owned())),
        },
    }
}

/// Whether an unquoted word would be a number, true, false or null.
pub(super) fn is_special(word: &str) -> bool {
    !matches!(resolve(word), Ok(Value::String(_)))
}

fn is_not_finite(word: &str) -> bool {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(word, ".nan" | ".NaN" | ".NAN")
}

/// `None` when the word is not written like a number.
fn number(word: &str) -> Option<Result<Value, String>> {
    let too_large = || Err(format!("the number `{}` is beyond 1e18", shorten(word)));
    let integer = |parsed: Result<i64, _>| match parsed {
        Ok(number) if number.unsigned_abs() <= MAX_NUMBER as u64 => Ok(Value::from(number)),
        _ => too_large(),
    };
    if let Some(digits) = word.strip_prefix("0x").filter(|digits| is_digits(digits, 16)) {
        return Some(integer(i64::from_str_radix(digits, 16)));
    }
    if let Some(digits) = word.strip_prefix("0o").filter(|digits| is_digits(digits, 8)) {
        return Some(integer(i64::from_str_radix(digits, 8)));
    }
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    if is_digits(unsigned, 10) {
        return Some(integer(word.parse()));
    }
    if !is_decimal(unsigned) {
        return None;
    }
    let parsed = word.parse::<f64>().ok().filter(|number| number.abs() <= MAX_NUMBER);
    Some(parsed.and_then(Number::from_f64).map_or_else(too_large, |number| Ok(Value::Number(number))))
}

fn is_digits(word: &str, radix: u32) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_digit(radix))
}

/// `(\. [0-9]+ | [0-9]+ (\. [0-9]*)?) ([eE] [-+]? [0-9]+)?`
fn is_decimal(word: &str) -> bool {
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (word, None),
    };
    let mantissa_holds = match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction, 10),
        Some((whole, fraction)) => is_digits(whole, 10) && (fraction.is_empty() || is_digits(fraction, 10)),
        None => is_digits(mantissa, 10),
    };
    mantissa_holds && exponent.is_none_or(|exponent| is_digits(exponent, 10))
}

/// At most 40 characters of a text, for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
