//! Good scenarios with accidents: whatever a hand, a merge or a bad disk makes of a file, reading it ends with
//! a scenario all of whose arms can be planned, or with sentences; never with a panic.

use proptest::prelude::*;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::read;

const GOOD: &str = include_str!("good.yaml");

/// What stands where in other files, and what only a mistake could put there.
const WORDS: [&str; 40] = [
    "",
    "0",
    "1",
    "-1",
    "2.5",
    "1e15",
    "null",
    "~",
    "true",
    "[]",
    "{}",
    "0s",
    "5m",
    "10%",
    "off",
    "100/s",
    "api",
    "db",
    "client",
    "nobody",
    "pulse",
    "regime",
    "sustained",
    "standing",
    "pulled",
    "fifo",
    "ends",
    "control",
    "breaker@start",
    "{ constant: 1ms }",
    "[db, db]",
    "x: y",
    "client.retry.enabled: false",
    "db.workers: 3",
    "api.breaker: { consecutive: 3 }",
    "api.breaker.open_for: 1s",
    "client.retry.attempts: 2",
    "client.retry_budget: { token_bucket: { deposit: 10% } }",
    "db.service_time.constant: 1s",
    "db.service_time: { constant: 1s }",
];

#[derive(Clone, Debug)]
enum Accident {
    /// One character is lost.
    Lose(usize),
    /// Another one stands in its place.
    Replace(usize, char),
    /// A line is lost.
    LoseLine(usize),
    /// A line stands there twice.
    RepeatLine(usize),
    /// Two lines change places.
    Swap(usize, usize),
    /// What stands behind a colon becomes something else.
    Value(usize, usize),
    /// A key becomes another one of the file.
    Key(usize, usize),
    /// A setting of a lever becomes another.
    Setting(usize),
}

fn accident() -> impl Strategy<Value = Accident> {
    let n = 0_usize..10_000;
    let signs: Vec<char> = " :{}[]-#&*!|>'\"%@,?\t0".chars().collect();
    let c = prop_oneof![any::<char>(), prop::sample::select(signs)];
    prop_oneof![
        1 => n.clone().prop_map(Accident::Lose),
        1 => (n.clone(), c).prop_map(|(at, c)| Accident::Replace(at, c)),
        1 => n.clone().prop_map(Accident::LoseLine),
        1 => n.clone().prop_map(Accident::RepeatLine),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Accident::Swap(a, b)),
        4 => (n.clone(), n.clone()).prop_map(|(at, word)| Accident::Value(at, word)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Accident::Key(a, b)),
        2 => n.prop_map(Accident::Setting),
    ]
}

fn befall(text: &str, accident: &Accident) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if chars.is_empty() || lines.is_empty() {
        return text.to_owned();
    }
    let (some, all) = (chars.len(), lines.len());
    match *accident {
        Accident::Lose(at) => drop(chars.remove(at % some)),
        Accident::Replace(at, c) => chars[at % some] = c,
        Accident::LoseLine(at) => drop(lines.remove(at % all)),
        Accident::RepeatLine(at) => lines.insert(at % all, lines[at % all].clone()),
        Accident::Swap(a, b) => lines.swap(a % all, b % all),
        Accident::Value(at, word) => {
            if let Some((key, _)) = lines[at % all].clone().rsplit_once(": ") {
                lines[at % all] = format!("{key}: {}", WORDS[word % WORDS.len()]);
            }
        }
        Accident::Key(a, b) => {
            let other = lines[b % all].trim().split(':').next().unwrap_or_default().to_owned();
            let line = lines[a % all].clone();
            let indent: String = line.chars().take_while(|c| *c == ' ').collect();
            if let Some((_, value)) = line.split_once(':') {
                lines[a % all] = format!("{indent}{other}:{value}");
            }
        }
        Accident::Setting(word) => {
            return text.replacen("api.pool.size: 100", WORDS[30 + word % 10], 1);
        }
    }
    match accident {
        Accident::Lose(_) | Accident::Replace(..) => chars.into_iter().collect(),
        _ => lines.join("\n") + "\n",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_happens_to_a_file_it_is_refused_in_sentences_or_every_arm_can_be_planned(
        accidents in prop::collection::vec(accident(), 1..4)
    ) {
        let text = accidents.iter().fold(GOOD.to_owned(), |text, accident| befall(&text, accident));
        match read::read("mine.yaml", &text, Style::Plain) {
            Err(problems) => {
                prop_assert!(problems.0.starts_with("error: mine.yaml is not a scenario that can run ("));
                prop_assert!(problems.0.ends_with("\nnothing was run\n"));
            }
            Ok(read) => {
                for (name, lever) in &read.scenario.levers {
                    for mode in &lever.modes {
                        let planned = plan::treatment(&read.scenario, name, *mode);
                        prop_assert!(planned.is_ok(), "{name}: {:?}", planned.err());
                    }
                }
                let written = serde_json::to_string(&read.scenario).unwrap();
                let again = read::read("again.yaml", &written, Style::Plain);
                prop_assert_eq!(again.map(|again| again.scenario), Ok(read.scenario));
            }
        }
    }
}

#[test]
fn most_accidents_are_noticed_and_some_are_none() {
    let read = |text: &str| read::read("mine.yaml", text, Style::Plain).is_ok();
    let settings: Vec<bool> = (0..10).map(|i| read(&befall(GOOD, &Accident::Setting(i)))).collect();
    let fitting = settings.iter().filter(|good| **good).count();
    assert!((3..=8).contains(&fitting), "{fitting} of the ten settings fit");
    let lines = GOOD.lines().count();
    let kept = (0..lines).filter(|at| read(&befall(GOOD, &Accident::LoseLine(*at)))).count();
    assert!(kept > 0 && kept < lines / 2, "{kept} of {lines} lines can be left out");
}
