//! Durations, rates, shares and sizes as people write them in a scenario file: `250ms`, `100/s`, `10%`, `512MiB`.
//! Each reads and writes one text form, and its schema names a format that the scenario reader checks.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time. Written `250ms`, `1.5s`, `2m`, `3h`; also `0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dur(pub Duration);

/// How often something happens, per second. Written `100/s`, `30/min`, `4/h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

/// A part of a whole, from 0 to 1. Written `0.05` or `5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// An amount of memory, in bytes. Written `512MiB`, `256KiB`, `2GiB`; also `0B`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const DAY: f64 = 86_400.0;

/// The units of memory, largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Dur {
    /// Reads `250ms`, `1.5s`, `2m`, `3h`, `1d`, and sums such as `1h 30m`.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Dur, String> {
        let wrong = || format!("expected a duration such as 250ms, 3s or 2m, found `{text}`");
        let mut nanos = 0_f64;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
            let tail = &rest[digits..];
            let unit = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let scale = match &tail[..unit] {
                "ns" => 1.0,
                "us" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" | "min" => 60e9,
                "h" => 3600e9,
                "d" => DAY * 1e9,
                _ => return Err(wrong()),
            };
            nanos += number * scale;
            rest = tail[unit..].trim_start();
        }
        if !nanos.is_finite() || nanos > 3660.0 * DAY * 1e9 {
            return Err(format!("`{text}` is longer than ten years"));
        }
        Ok(Dur(Duration::from_nanos(nanos.round() as u64)))
    }

    /// In seconds.
    pub fn secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        for (scale, unit) in [
            (3_600_000_000_000_u128, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
        ] {
            if nanos >= scale && nanos.is_multiple_of(scale) {
                return write!(f, "{}{unit}", nanos / scale);
            }
        }
        if nanos == 0 {
            return write!(f, "0s");
        }
        if nanos > 1_000_000_000 && nanos.is_multiple_of(1_000_000) {
            return write!(f, "{}s", nanos as f64 / 1e9);
        }
        if nanos > 1_000_000 && nanos.is_multiple_of(1_000) {
            return write!(f, "{}ms", nanos as f64 / 1e6);
        }
        write!(f, "{nanos}ns")
    }
}

impl Rate {
    /// Reads `100/s`, `30/min`, `4/h`, `3/d`.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let wrong = || format!("expected a rate such as 100/s or 30/min, found `{text}`");
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => DAY,
            _ => return Err(wrong()),
        };
        if !(number.is_finite() && (0.0..=1e9).contains(&number)) {
            return Err(format!("a rate lies between 0/s and 1000000000/s, found `{text}`"));
        }
        Ok(Rate(number / seconds))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl Share {
    /// Reads `5%`.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Share, String> {
        let wrong = || format!("expected a share such as 0.05 or 5%, found `{text}`");
        let percent = text.strip_suffix('%').ok_or_else(wrong)?;
        let share = percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0;
        Share::of(share).map_err(|_| format!("a share lies between 0% and 100%, found `{text}`"))
    }

    /// From a number between 0 and 1.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote it.
    pub fn of(share: f64) -> Result<Share, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Share(share))
        } else {
            Err(format!("a share lies between 0 and 1, or 0% and 100%, found {share}"))
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Bytes {
    /// Reads `512MiB`, `1.5GiB`, `256KiB`, `100B`.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Bytes, String> {
        let wrong = || format!("expected an amount of memory such as 512MiB, 256KiB or 2GiB, found `{text}`");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit = text[digits..].trim_start();
        let (_, size) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let bytes = number * *size as f64;
        if bytes > (1_u64 << 40) as f64 {
            return Err(format!("`{text}` is more than 1024GiB"));
        }
        Ok(Bytes(bytes.round() as u64))
    }

    /// In KiB, a part of one counting as a whole one.
    pub const fn kib(self) -> u64 {
        self.0.div_ceil(1 << 10)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, size): &&(&str, u64)| self.0.is_multiple_of(*size);
        let (name, size) = SIZES.iter().filter(|_| self.0 > 0).find(whole).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / size)
    }
}

/// A check behind a schema format: a sentence for the person who wrote what is wrong.
pub type Format = fn(&serde_json::Value) -> Result<(), String>;

/// The checks behind the schema formats, by name: `duration`, `rate`, `share` and `bytes`.
pub const FORMATS: [(&str, Format); 4] = [
    ("bytes", |value| match value.as_str() {
        Some(text) => Bytes::parse(text).map(drop),
        None => Err(format!("expected an amount of memory such as 512MiB, 256KiB or 2GiB, found {value}")),
    }),
    ("duration", |value| match value.as_str() {
        Some(text) => Dur::parse(text).map(drop),
        None => Err(format!("expected a duration such as 250ms, 3s or 2m, found {value}")),
    }),
    ("rate", |value| match value.as_str() {
        Some(text) => Rate::parse(text).map(drop),
        None => Err(format!("expected a rate such as 100/s or 30/min, found {value}")),
    }),
    ("share", |value| match (value.as_str(), value.as_f64()) {
        (Some(text), _) => Share::parse(text).map(drop),
        (_, Some(number)) => Share::of(number).map(drop),
        _ => Err(format!("expected a share such as 0.05 or 5%, found {value}")),
    }),
];

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Dur, D::Error> {
        Dur::parse(&Cow::<str>::deserialize(d)?).map_err(D::Error::custom)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Rate, D::Error> {
        Rate::parse(&Cow::<str>::deserialize(d)?).map_err(D::Error::custom)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Share, D::Error> {
        match serde_json::Value::deserialize(d)? {
            serde_json::Value::String(text) => Share::parse(&text),
            value => value
                .as_f64()
                .ok_or_else(|| format!("expected a share such as 0.05 or 5%, found {value}"))
                .and_then(Share::of),
        }
        .map_err(D::Error::custom)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        Bytes::parse(&Cow::<str>::deserialize(d)?).map_err(D::Error::custom)
    }
}

macro_rules! schema {
    ($type:ident, $kinds:tt, $format:literal, $description:literal, $examples:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": $kinds, "format": $format, "description": $description, "examples": $examples
                })
            }
        }
    };
}

schema!(Dur, "string", "duration", "A length of time, such as 250ms, 1.5s, 2m or 3h.", ["250ms", "3s", "2m"]);
schema!(Rate, "string", "rate", "How often, such as 100/s, 30/min or 4/h.", ["100/s", "30/min"]);
schema!(
    Bytes,
    "string",
    "bytes",
    "An amount of memory, such as 512MiB, 256KiB or 2GiB.",
    ["512MiB", "256KiB"]
);
schema!(Share, ["string", "number"], "share", "A part of a whole, such as 0.05 or 5%.", [0.05, "5%"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them_and_written_back() {
        for (text, nanos, shown) in [
            ("250ms", 250_000_000, "250ms"),
            ("1.5s", 1_500_000_000, "1500ms"),
            ("2m", 120_000_000_000, "2m"),
            ("1h 30m", 5_400_000_000_000, "90m"),
            ("0s", 0, "0s"),
            ("12.5ms", 12_500_000, "12500us"),
        ] {
            let dur = Dur::parse(text).expect(text);
            assert_eq!(dur.0.as_nanos(), nanos, "{text}");
            assert_eq!(dur.to_string(), shown);
            assert_eq!(Dur::parse(shown), Ok(dur));
        }
        for bad in ["", "5", "fast", "-3s", "1e9s", "5 parsecs", "99999999d", "."] {
            assert!(Dur::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_and_shares_refuse_what_cannot_be() {
        assert_eq!(Rate::parse("30/min"), Ok(Rate(0.5)));
        assert_eq!(Share::parse("5%"), Ok(Share(0.05)));
        for bad in ["100", "-1/s", "inf/s", "NaN/s", "1/week"] {
            assert!(Rate::parse(bad).is_err(), "{bad}");
        }
        for bad in ["300%", "-1%", "NaN%", "5"] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_of_memory_are_read_as_people_write_them_and_written_back() {
        for (text, bytes, shown) in [
            ("512MiB", 512 << 20, "512MiB"),
            ("1.5GiB", 1536 << 20, "1536MiB"),
            ("100 B", 100, "100B"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("0B", 0, "0B"),
        ] {
            let size = Bytes::parse(text).expect(text);
            assert_eq!((size.0, size.to_string()), (bytes, shown.to_owned()), "{text}");
            assert_eq!(Bytes::parse(shown), Ok(size));
        }
        assert_eq!([0, 1, 1024, 1025].map(|bytes| Bytes(bytes).kib()), [0, 1, 1, 2]);
        for bad in ["", "5", "512", "512MB", "-1MiB", "5 elephants", "2000GiB", "MiB", "1.2.3MiB"] {
            assert!(Bytes::parse(bad).is_err(), "{bad}");
        }
    }
}
