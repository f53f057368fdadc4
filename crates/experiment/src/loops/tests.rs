//! Loops whose gain is known: independent retries, and a station that turns away. What was measured has to
//! agree with the theory within its interval, or the way of measuring is wrong.

use proptest::prelude::*;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::document::Style;
use crate::laws::theory::Station;
use crate::measure::{How, Measured};
use crate::plan;
use crate::scenario::loops::reinforces;
use crate::scenario::read::{self, Checked};
use crate::story::{self, Circumstances};

/// A client that tries `attempts` times what fails with probability `failure`, and a server that never waits.
fn retries(failure: f64, attempts: u32, links: &str) -> String {
    format!(
        "scenario: retries\ntitle: Retries\nstory: Attempts fail by chance.\nkind: regime\n\
         slo: {{ latency: 1s }}\nduration: 36s\nload:\n  arrivals: {{ poisson: 100/s }}\n\
         services:\n  client:\n    calls: server\n    with: {{ retry: {{ attempts: {attempts} }} }}\n  \
         server:\n    service_time: {{ exponential: 10ms }}\n    failure: {failure}\n\
         loops:\n  R1: {{ title: retries, links: {links} }}\n\
         variables: {{ load: client.attempts, retries: client.retries }}\n"
    )
}

const PLUS: &str = "[load (+), retries (+)]";

/// Ten places, nobody waits: who finds none is refused.
const STATION: &str = "
scenario: station
title: A station that turns away
story: There are as many calls as places.
kind: regime
slo: { latency: 1s }
duration: 45s
load:
  arrivals: { poisson: 100/s }
services:
  server:
    workers: 10
    queue: { size: 0 }
    service_time: { exponential: 100ms }
loops:
  B1: { title: no room, links: [busy (+), refused (-)] }
variables: { busy: server.working, refused: server.rejected }
";

fn read(text: &str) -> Checked {
    read::read("mine.yaml", text, Style::Plain).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn measured(checked: &Checked, seeds: u64) -> Measured {
    let scenario = &checked.scenario;
    let mut measured =
        Measured::new(scenario, vec![plan::control(scenario)], false).with_loops(scenario, &[0]);
    let stop = AtomicBool::new(false);
    let how = How { threads: 2, stop: &stop, keep_events: 0, keep_series: false };
    measured.extend(scenario, &(1..=seeds).collect::<Vec<_>>(), &how, || {});
    assert!(measured.reasons.is_empty() && measured.loops.reasons.is_empty(), "{:?}", measured.loops.reasons);
    measured
}

fn only_phase(text: &str, seeds: u64) -> InPhase {
    let checked = read(text);
    let it = checked.scenario.loops.values().next().expect("there is a loop");
    measured(&checked, seeds).loops.phases(&checked.scenario, it, 0.99).remove(0)
}

fn holds(estimate: Option<Estimate>, theory: f64, half: f64) {
    let it = estimate.expect("it can be told");
    assert!(it.low <= theory && theory <= it.high, "{theory} is not in {it:?}");
    assert!(it.high - it.low < 2.0 * half, "the interval is too wide to say anything: {it:?}");
}

#[test]
fn of_retries_without_end_a_failing_share_p_comes_back_each_turn_and_p_over_1_minus_p_in_all() {
    for p in [0.3, 0.6] {
        let seen = only_phase(&retries(p, 60, PLUS), 20);
        holds(seen.comes_back, p / (1.0 - p), 0.2);
        holds(seen.per_turn, p, 0.05);
        assert_eq!(seen.signs, [Some('+'), Some('+')]);
        assert!(seen.over, "a few turns of 10 ms are long over");
        let half = seen.half_back_s.expect("something comes back");
        assert!(
            (half - seen.nudge.over.as_secs_f64() / 2.0).abs() < 1.0,
            "with the users, not later: {half} s"
        );
    }
}

#[test]
fn of_retries_with_an_end_comes_back_what_the_attempts_left_allow() {
    let seen = only_phase(&retries(0.5, 3, PLUS), 20);
    holds(seen.comes_back, 0.5 + 0.25, 0.1);
}

#[test]
fn where_nothing_fails_nothing_comes_back_and_no_link_is_shown() {
    let seen = only_phase(&retries(0.0, 4, PLUS), 3);
    assert_eq!(seen.comes_back.expect("it can be told").mean, 0.0);
    assert_eq!((seen.signs, seen.half_back_s), (vec![None, None], None));
}

#[test]
fn of_a_station_without_a_queue_as_much_is_taken_away_as_erlang_says() {
    let seen = only_phase(STATION, 40);
    let carried = |arrivals: f64| {
        let station = Station { arrivals, service: 10.0, servers: 10 };
        station.offered() * (1.0 - station.loss_without_queue())
    };
    // Erlang's formula is curved: what the nudge finds is the chord over its own width.
    let theory = (carried(120.0) - carried(100.0)) / 2.0 - 1.0;
    holds(seen.comes_back, theory, 0.1);
    assert_eq!(seen.signs, [Some('+'), Some('-')], "{seen:?}");
    assert!(seen.per_turn.is_some_and(|gain| gain.high < 0.0));
}

fn documents(text: &str) -> crate::result::CausalLoop {
    let checked = read(text);
    let around = Circumstances {
        clock: "virtual",
        overrides: Vec::new(),
        again: String::new(),
        machine: Default::default(),
        claims_at: story::SHOWN,
    };
    story::result(&checked, &measured(&checked, 5), &around).loops.remove(0)
}

#[test]
fn a_link_that_was_drawn_the_wrong_way_round_is_told_and_so_is_a_loop_that_nothing_holds() {
    let right = documents(&retries(0.5, 4, PLUS));
    assert_eq!(right.links[0].measured, Some('+'));
    let [only] = right.warnings.as_slice() else { panic!("{:?}", right.warnings) };
    assert!(only.starts_with("R1 reinforces, and no balancing loop of this scenario meets it"), "{only}");
    // Two minus signs reinforce as well: only a measure can tell.
    let wrong = documents(&retries(0.5, 4, "[load (-), retries (-)]"));
    assert_eq!(wrong.links[0].measured, Some('+'));
    let said = wrong.warnings.join("\n");
    assert!(
        said.contains("load -> retries is drawn as - and was measured as +, in the middle of the run"),
        "{said}"
    );
    assert!(said.contains("retries -> load is drawn as - and was measured as +"), "{said}");
}

#[test]
fn a_balancing_loop_that_meets_it_holds_a_reinforcing_one() {
    let text = retries(0.5, 4, PLUS).replace(
        "variables: {",
        "  B1: { title: a budget, links: [denied (-), retries (+)] }\nvariables: { denied: client.budget_denied,",
    );
    // Nobody adds denials directly: such a loop has to begin elsewhere.
    let refused = read::read("mine.yaml", &text, Style::Plain).expect_err("it is refused").0;
    assert!(refused.contains("loops are measured by a few more users, who add nothing to this one directly"));
    let text = text.replace("links: [denied (-), retries (+)]", "links: [load (+), denied (-)]");
    assert_eq!(documents(&text).warnings, Vec::<String>::new());
}

#[test]
fn measuring_loops_changes_nothing_of_the_arms_that_are_judged() {
    let checked = read(&retries(0.5, 4, PLUS));
    let scenario = &checked.scenario;
    let mut alone = Measured::new(scenario, vec![plan::control(scenario)], false);
    let stop = AtomicBool::new(false);
    let how = How { threads: 1, stop: &stop, keep_events: 0, keep_series: false };
    alone.extend(scenario, &[1, 2], &how, || {});
    let with_loops = measured(&checked, 2);
    assert_eq!(alone.arms[0].events, with_loops.arms[0].events);
    assert_eq!(alone.arms[0].attempts, with_loops.arms[0].attempts);
    let mut on_one_thread =
        Measured::new(scenario, vec![plan::control(scenario)], false).with_loops(scenario, &[0]);
    on_one_thread.extend(scenario, &[1, 2], &how, || {});
    let phases = |of: &Measured| of.loops.phases(scenario, &scenario.loops["R1"], 0.95);
    assert_eq!(phases(&on_one_thread), phases(&with_loops), "nor can the number of threads be seen");
}

#[test]
fn a_twin_that_differs_before_its_nudge_is_no_twin_and_says_so() {
    use crate::run::virtual_clock::{Job, run_one};
    let checked = read(&retries(0.5, 4, PLUS));
    let scenario = &checked.scenario;
    let arms = [plan::control(scenario)];
    let mut loops = Loops::of(scenario, &arms, &[0]);
    let plans: Vec<ArmPlan> = loops.plans().cloned().collect();
    let run =
        |arm: &ArmPlan, seed| run_one(scenario, &Job { arm, seed, keep_events: false }).expect("it runs");
    loops.add(scenario, &[run(&arms[0], 1)], &[run(&plans[0], 1)]);
    assert_eq!(loops.reasons, Vec::<String>::new());
    loops.add(scenario, &[run(&arms[0], 1)], &[run(&plans[0], 2)]);
    assert_eq!(loops.reasons, ["the twin of the control differs from it before it is nudged"]);
}

#[test]
fn nudges_lie_where_they_say_and_never_beyond_the_run() {
    let storm = include_str!("../../../../scenarios/retry-storm.yaml");
    let at = |text: &str| -> Vec<(Phase, usize, usize)> {
        nudges(&read(text).scenario).iter().map(|it| (it.phase, it.from_s, it.until_s)).collect()
    };
    use Phase::{After, Before, Onset, Steady};
    assert_eq!(at(storm), [(Before, 30, 60), (Onset, 60, 90), (After, 180, 210)]);
    assert_eq!(at(&retries(0.5, 4, PLUS)), [(Steady, 12, 36)]);
    let short = retries(0.5, 4, PLUS).replace("duration: 36s", "duration: 12s");
    assert_eq!(at(&short), [], "less than ten seconds are not watched");
}

proptest! {
    /// Counting minus signs, against following a change once round.
    #[test]
    fn a_loop_reinforces_if_a_change_comes_back_with_its_own_sign(
        signs in prop::collection::vec(prop::bool::ANY, 2..12),
    ) {
        let back = signs.iter().fold(1, |change, plus| if *plus { change } else { -change });
        let signs = signs.iter().map(|plus| if *plus { '+' } else { '-' });
        prop_assert_eq!(reinforces(signs), back > 0);
    }
}
