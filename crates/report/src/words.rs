//! Numbers and verdicts as words, the same ones in every report. Nothing here knows where they are printed.

use pumphandle_experiment::result::{Arm, Interval, LoopVariable, RunResult};

/// Every verdict with what it means, strongest first; shown wherever verdicts are.
pub(crate) const VERDICTS: [(&str, &str); 9] = [
    (
        "prevents",
        "in place from the start: outside the trigger nearly all answers stay good, without it they do not",
    ),
    (
        "ends",
        "the system recovers, the control does not; or it recovers in less than half the control's time",
    ),
    ("eases", "at least 10 % less harm than the control (the whole interval), but it does not end it"),
    ("delays", "the same end as the control, at least 10 s later"),
    ("masks", "at least 20 % fewer visible errors, while good answers do not rise"),
    ("no effect", "the whole interval lies within 10 % of the control"),
    ("worsens", "at least 10 % more harm than the control (the whole interval)"),
    ("undecided", "the interval is too wide to tell: more seeds would decide"),
    ("not tested", "the run or the arm was not valid, so there is no verdict"),
];

/// What a verdict means; empty for a word that is not a verdict.
pub(crate) fn meaning(verdict: &str) -> &'static str {
    VERDICTS.iter().find(|(word, _)| *word == verdict).map_or("", |(_, meaning)| meaning)
}

/// Rounded to `digits` decimals, never `-0`.
pub(crate) fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_string(),
        _ => text,
    }
}

/// About three significant digits, without an exponent: `0.04`, `3.9`, `21`, `1000`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 || size >= 20.0 => 0,
        _ if size >= 1.0 => 1,
        _ => 2,
    };
    let text = fixed(value, digits);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// Seconds in a day.
pub(crate) const DAY: f64 = 86_400.0;

/// Whether a run of so many seconds is told in days.
pub(crate) fn in_days(end_s: f64) -> bool {
    end_s > 2.0 * DAY
}

/// An instant of a run that ends at `end_s`: `180 s`, or `28 d` of a run of weeks.
pub(crate) fn instant(at_s: f64, end_s: f64) -> String {
    if in_days(end_s) { format!("{} d", number(at_s / DAY)) } else { format!("{} s", number(at_s)) }
}

/// Seconds for a person: `21 s`, `5 min`, `3 h`, `56 d`, `90 s`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds == libm::trunc(seconds);
    match seconds {
        s if whole && s >= 2.0 * DAY && s % DAY == 0.0 => format!("{} d", number(s / DAY)),
        s if whole && s >= 3600.0 && s % 3600.0 == 0.0 => format!("{} h", number(s / 3600.0)),
        s if whole && s >= 120.0 && s % 60.0 == 0.0 => format!("{} min", number(s / 60.0)),
        s => format!("{} s", number(s)),
    }
}

/// A share as a percentage: `93 %`.
pub(crate) fn share(value: f64) -> String {
    format!("{} %", number(value * 100.0))
}

/// A relative change in percent with its interval, without the sign of percent: `-88 [-89, -86]`.
pub(crate) fn change(interval: &Interval) -> String {
    let digits = usize::from([interval.mean, interval.low, interval.high].iter().any(|x| x.abs() < 0.0995));
    let signed = |x: f64| {
        let text = fixed(x * 100.0, digits);
        if x > 0.0 && text.chars().any(|c| c.is_ascii_digit() && c != '0') {
            format!("+{text}")
        } else {
            text
        }
    };
    format!("{} [{}, {}]", signed(interval.mean), signed(interval.low), signed(interval.high))
}

/// The same with the sign of percent, for sentences: `-88 % [-89, -86]`.
pub(crate) fn change_percent(interval: &Interval) -> String {
    change(interval).replacen(" [", " % [", 1)
}

/// An interval's bounds: `[2.9, 3.3]`; nothing of a point, which has none.
pub(crate) fn range(interval: &Interval) -> String {
    if interval.low == interval.high {
        return String::new();
    }
    format!("[{}, {}]", number(interval.low), number(interval.high))
}

/// An estimate with its interval: `3.1 [2.9, 3.3]`.
pub(crate) fn with_range(interval: &Interval) -> String {
    format!("{} {}", number(interval.mean), range(interval)).trim_end().to_owned()
}

/// What a user more did to a variable: `+4.1`, `-0.2 item s`; none where it cannot be told.
pub(crate) fn per_user(variable: &LoopVariable) -> Option<String> {
    let interval = variable.per_user.as_ref()?;
    let sign = if interval.mean > 0.0 { "+" } else { "" };
    let small = interval.mean != 0.0 && interval.mean.abs() < 0.01;
    let size = if small { "about 0".to_owned() } else { format!("{sign}{}", number(interval.mean)) };
    Some(format!("{size} {}", interval.unit).trim_end().to_owned())
}

/// `1 seed`, `5 seeds`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// How the arm ended, with the seeds that say so: `stays down (5 of 5 seeds)`.
pub(crate) fn ending(arm: &Arm, result: &RunResult) -> String {
    let n = result.seeds.len() as u64;
    let recovery = arm.outcome.recovery_s.as_ref();
    let (recovered, n) = recovery.map_or((0, n), |r| (r.recovered, r.n));
    match arm.state.as_deref() {
        Some("stays down") => format!("stays down ({} of {n} seeds)", n.saturating_sub(recovered)),
        // A majority cannot be shown by fewer than six of six.
        Some("mixed") if n < 6 => format!("recovers in {recovered} of {n} seeds: too few to say"),
        Some("mixed") => format!("mixed: {recovered} of {n} seeds recover"),
        Some("recovers") if arm.verdict.as_ref().is_some_and(|v| v.is == "prevents") => {
            format!("prevented ({recovered} of {n} seeds)")
        }
        Some("recovers") => format!("recovers {} ({recovered} of {n} seeds)", recovery_time(arm, result)),
        Some(other) => other.to_string(),
        None => format!("{} of arrivals answered well", share(arm.outcome.good_share)),
    }
}

/// `21 s after the lever [19, 24]`: from the later of the trigger's end and the pull.
fn recovery_time(arm: &Arm, result: &RunResult) -> String {
    let Some(recovery) = arm.outcome.recovery_s.as_ref() else { return String::new() };
    let trigger_end = result.windows_s.trigger.map_or(0.0, |t| t[1]);
    let pulled =
        arm.mode.as_deref() == Some("pulled") && result.windows_s.pull.is_some_and(|at| at >= trigger_end);
    let since = if pulled { "the lever" } else { "the trigger" };
    let Some(p50) = recovery.p50 else { return String::new() };
    let range = match (recovery.low, recovery.high) {
        (Some(low), Some(high)) => format!(" [{}, {}]", number(low), number(high)),
        _ => String::new(),
    };
    format!("{} after {since}{range}", duration(p50))
}

/// Recovery for a table: `21 s`, `never`, `3 of 5`, or `-` where there was nothing to recover from.
pub(crate) fn recovery(arm: &Arm) -> String {
    match arm.outcome.recovery_s.as_ref() {
        None => "-".to_string(),
        Some(r) if r.recovered == 0 => "never".to_string(),
        Some(r) if r.recovered < r.n => format!("{} of {}", r.recovered, r.n),
        Some(r) => r.p50.map_or_else(|| "-".to_string(), duration),
    }
}

/// The command that repeats what one claim or arm was judged by.
pub(crate) fn again(result: &RunResult, arm: &str) -> String {
    let mut words = vec!["pumphandle run".to_string(), quoted(&result.scenario)];
    let lever = arm.strip_suffix("@start").unwrap_or(arm);
    match lever {
        "control" => {}
        "" => words.push("--all".to_string()),
        lever => words.push(format!("--lever {}", quoted(lever))),
    }
    words.push(format!("--seeds {}", result.seeds.len()));
    words.extend(result.seeds.first().map(|seed| format!("--seed {seed}")));
    if result.clock != "virtual" {
        words.push(format!("--clock {}", result.clock));
    }
    words.extend(result.overrides.iter().map(|change| match change.strip_prefix("duration=") {
        Some(duration) => format!("--duration {}", quoted(duration)),
        None => format!("--set {}", quoted(change)),
    }));
    words.join(" ")
}

/// A word as a POSIX shell takes it literally.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A table of aligned columns, for a terminal.
pub(crate) fn text_table<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let all = || std::iter::once(*head).chain(rows.iter().map(|row| row.each_ref().map(String::as_str)));
    let widths: [usize; N] =
        std::array::from_fn(|i| all().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for row in all() {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
    out
}

/// A table in Markdown.
pub(crate) fn markdown_table<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let line = |cells: &[String; N]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|{}\n", "---|".repeat(N));
    std::iter::once(line(&head.map(str::to_owned))).chain([rule]).chain(rows.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(mean: f64, low: f64, high: f64) -> Interval {
        Interval { unit: "ratio".into(), mean, low, high, n: 5, method: "paired t".into() }
    }

    #[test]
    fn small_changes_keep_a_decimal_and_zero_has_no_sign() {
        assert_eq!(change(&interval(-0.003, -0.009, 0.004)), "-0.3 [-0.9, +0.4]");
        assert_eq!(change(&interval(-0.88, -0.89, -0.86)), "-88 [-89, -86]");
        assert_eq!(change(&interval(0.0, -0.0001, 0.0001)), "0.0 [0.0, 0.0]");
        assert_eq!(change_percent(&interval(0.5, 0.4, 0.6)), "+50 % [+40, +60]");
    }

    #[test]
    fn durations_are_round_only_when_they_are() {
        assert_eq!([300.0, 10_800.0, 90.0, 21.4, 0.0].map(duration), ["5 min", "3 h", "90 s", "21 s", "0 s"]);
    }

    #[test]
    fn a_word_with_a_quote_survives_the_shell() {
        assert_eq!(quoted("retry-storm"), "retry-storm");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
