//! Instants of the calendar: only for putting a recording somewhere into the past. No run knows them.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// Seconds since 1970, by the clock of this machine.
#[allow(clippy::disallowed_methods, reason = "a recording has to end in the past of whoever looks at it")]
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// Reads `2026-01-31T16:23:00Z`, with or without seconds, or with an offset in place of the Z; or seconds since 1970.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let read = text.parse::<i64>().ok().or_else(|| of_calendar(text));
    read.filter(|at| (0..=253_402_300_799).contains(at)).ok_or_else(|| {
        "expected 2026-01-31T16:23:00Z, 2026-01-31T17:23+01:00, or seconds since 1970".to_owned()
    })
}

/// `2026-01-31T16:23:00Z`.
pub(crate) fn text(at: i64) -> String {
    let (day, second) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let (year, month, day) = date(day);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn of_calendar(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let (time, offset) = match time.find(['Z', '+', '-']) {
        Some(at) if &time[at..] == "Z" => (&time[..at], 0),
        Some(at) => (&time[..at], offset(&time[at..])?),
        None => return None,
    };
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let (hour, minute, second) = match numbers(time, ':')?[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let day = days(year, month, day).filter(|_| hour < 24 && minute < 60 && second < 60)?;
    Some(day * DAY + hour * 3600 + minute * 60 + second - offset)
}

/// `+01:00` in seconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.strip_prefix('+')?),
    };
    let [hours, minutes] = numbers(text, ':')?[..] else { return None };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Whole numbers without signs.
fn numbers(text: &str, between: char) -> Option<Vec<i64>> {
    let digits = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split(between).map(|part| digits(part).then(|| part.parse().ok())?).collect()
}

/// Days since 1970 of a date; none if there is no such day. (After Howard Hinnant, "chrono-compatible low-level date
/// algorithms": years begin in March, so that the day that not every year has is the last.)
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 719_469;
    (date(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a day since 1970; after the same.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * m + 2) / 5 + 1, if m < 10 { m + 3 } else { m - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instants and texts as `date -u -d @N +%FT%TZ` gives them.
    const KNOWN: [(i64, &str); 6] = [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_799, "2000-02-29T23:59:59Z"),
        (1_769_876_580, "2026-01-31T16:23:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ];

    #[test]
    fn instants_and_texts_are_those_of_other_programs() {
        for (at, known) in KNOWN {
            assert_eq!(text(at), known);
            assert_eq!(parse(known), Ok(at));
            assert_eq!(parse(&at.to_string()), Ok(at));
        }
        assert_eq!(parse("2026-01-31T17:23+01:00"), parse("2026-01-31T16:23:00Z"));
        assert_eq!(parse("2026-01-31 10:53:00-05:30"), parse("2026-01-31T16:23:00Z"));
    }

    #[test]
    fn every_day_of_ten_thousand_years_has_a_date_and_every_date_its_day() {
        let mut before = (-1, 12, 31);
        for day in -719_528..2_932_897 {
            let (year, month, dom) = date(day);
            assert_eq!(days(year, month, dom), Some(day));
            assert!((year, month, dom) > before, "{before:?}");
            before = (year, month, dom);
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for wrong in [
            "",
            "now",
            "2026-01-31",
            "2026-01-31T16:23",
            "2026-02-29T00:00Z",
            "2026-13-01T00:00Z",
            "2026-01-32T00:00Z",
            "2026-01-01T24:00Z",
            "2026-01-01T00:60Z",
            "2026-01-01T00:00:60Z",
            "-5",
            "2026-01-01T00:00+1",
            "T",
            "Z",
            "TZ",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T:Z",
            "99999999999999999999",
            "2026-01-01T00:00+24:00",
            "é-T-Zé",
            "2026-01-01T00:00Z01:00",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
