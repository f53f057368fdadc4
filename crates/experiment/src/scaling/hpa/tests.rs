//! The controller against the documented examples of Kubernetes, and against a simpler model of the same rules.

use proptest::prelude::*;

use super::*;
use crate::scenario::autoscalers::Autoscaler;

/// A controller as a file says it, with Kubernetes' constants for the rest.
fn controller(text: &str) -> Autoscaler {
    let mut tree = serde_json::json!({ "service": "api", "max": 10_000 });
    let more: serde_json::Value = serde_json::from_str(text).unwrap();
    for (field, value) in more.as_object().unwrap() {
        tree[field] = value.clone();
    }
    serde_json::from_value(tree).unwrap()
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

const NOW: u64 = 3_600;

/// A replica that has been ready for long, and used `milli` over the last 15 s.
fn old(milli: i64) -> Pod {
    let usage = Usage { milli, at: at(NOW), window: Duration::from_secs(15) };
    Pod { started: at(0), ready: true, since: at(10), usage: Some(usage) }
}

/// What is proposed for replicas that ask for a whole processor each, at a target of 50 %.
fn proposed(pods: &[Pod]) -> Proposal {
    by_cpu(&controller("{}"), pods.len() as u32, 1000, pods, 50, at(NOW))
}

/// The numbers of replicas that a controller goes through when it is always asked for `wanted`, decision by decision.
fn steps(text: &str, from: u32, wanted: u32, every: u64, n: usize) -> Vec<u32> {
    let (it, mut memory) = (controller(text), Memory::default());
    let mut current = from;
    (0..n)
        .map(|i| {
            current = memory.decide(&it, current, Some(wanted), at(NOW + i as u64 * every));
            current
        })
        .collect()
}

/// "200m and a target of 100m: 200.0 / 100.0 == 2.0, doubled; 50m: halved" (Algorithm details of the documentation).
#[test]
fn the_number_of_replicas_is_scaled_by_what_is_used_over_what_is_wanted() {
    assert_eq!(proposed(&[old(1000), old(1000)]), Some(4));
    assert_eq!(proposed(&[old(250); 4]), Some(2));
    assert_eq!(proposed(&[old(600); 3]), Some(4), "it is rounded up: 3.6");
    assert_eq!(proposed(&[]), None, "nothing is known");
    // Utilisation is a share of what was asked for, and not bounded by it.
    assert_eq!(proposed(&[old(4000)]), Some(8));
}

#[test]
fn nothing_changes_within_a_tenth_of_the_target() {
    assert_eq!(proposed(&[old(550); 10]), Some(10));
    assert_eq!(proposed(&[old(450); 10]), Some(10));
    assert_eq!(proposed(&[old(560); 10]), Some(12));
    assert_eq!(proposed(&[old(440); 10]), Some(9));
    // Kubernetes cuts the percentage to a whole one: 55.9 % is 55 %, which is within.
    assert_eq!(proposed(&[old(559); 10]), Some(10));
}

/// "If there were any missing metrics, the control plane recomputes the average more conservatively, assuming those
/// Pods were consuming 100% of the desired value in case of a scale down, and 0% in case of a scale up."
#[test]
fn a_replica_of_which_nothing_is_known_dampens_the_change() {
    let missing = Pod { usage: None, ..old(0) };
    // Two at 100 % of their request, and one unknown: 2000 of 3000 used, 66 % over 50 % of three.
    assert_eq!(proposed(&[old(1000), old(1000), missing]), Some(4));
    // Without it, it would be four of two; with two of them the ratio turns to within the tolerance.
    assert_eq!(proposed(&[old(1000), old(1000), missing, missing]), Some(4));
    // Downwards they count as fully used: 250 + 250 + 1000 of 3000 is the target.
    assert_eq!(proposed(&[old(250), old(250), missing]), Some(3));
    // 1040 of 5000 is 20 %: two fifths of the target.
    assert_eq!(proposed(&[old(10), old(10), old(10), old(10), missing]), Some(2));
    // A change that would turn into the other direction is none.
    assert_eq!(proposed(&[old(600), missing, missing, missing]), Some(4));
}

/// "pods that have not yet become ready are set aside"; in a scale up they count with 0 %.
#[test]
fn a_replica_that_is_not_ready_yet_is_set_aside_and_dampens_an_increase_only() {
    let starting = Pod { started: at(NOW - 20), ready: false, since: at(NOW - 20), ..old(0) };
    assert_eq!(proposed(&[old(1000), starting]), Some(2), "1000 of 2000 is the target");
    assert_eq!(proposed(&[old(2000), starting]), Some(4));
    assert_eq!(proposed(&[old(100), old(100), old(100), starting]), Some(1), "of three that are looked at");
    // Ready, but not yet for the whole window of the metric.
    let fresh = Pod { started: at(NOW - 60), since: at(NOW - 10), ..old(5000) };
    assert_eq!(proposed(&[old(1000), fresh]), Some(2));
    let ripe = Pod { since: at(NOW - 15), ..fresh };
    assert_eq!(proposed(&[old(1000), ripe]), Some(12));
    // After the initialization period only one that has never been ready is set aside.
    let lost = Pod { started: at(0), ready: false, since: at(NOW - 10), ..old(1000) };
    assert_eq!(proposed(&[old(1000), lost]), Some(4), "it was ready once: it is looked at");
    let never = Pod { started: at(0), ready: false, since: at(0), ..old(1000) };
    assert_eq!(proposed(&[old(1000), never]), Some(2));
}

#[test]
fn of_several_metrics_the_largest_proposal_counts_and_one_that_is_missing_stops_a_decrease() {
    assert_eq!(largest(5, &[Some(3), Some(8)]), Some(8));
    assert_eq!(largest(5, &[Some(3), Some(4)]), Some(4));
    assert_eq!(largest(5, &[Some(3), None]), None);
    assert_eq!(largest(5, &[None, Some(8)]), Some(8));
    assert_eq!(largest(5, &[None, None]), None);
}

#[test]
fn a_backlog_is_shared_out_among_as_many_replicas_as_it_takes() {
    let it = controller("{}");
    assert_eq!(by_backlog(&it, 4, 100.0, 10.0), Some(10));
    assert_eq!(by_backlog(&it, 10, 104.0, 10.0), Some(10), "within a tenth");
    assert_eq!(by_backlog(&it, 10, 0.0, 10.0), Some(0), "`min` is applied by the decision");
}

/// The default of `behavior`: 4 pods or 100 % per 15 s, whichever is more.
#[test]
fn from_one_to_forty_it_takes_five_ten_and_twenty() {
    assert_eq!(steps("{}", 1, 40, 15, 5), [5, 10, 20, 40, 40]);
    // A decision more often than the period of the policies does not go faster.
    assert_eq!(steps("{}", 1, 40, 5, 10), [5, 5, 5, 10, 10, 10, 20, 20, 20, 40]);
    assert_eq!(steps(r#"{ "max": 12 }"#, 1, 40, 15, 4), [5, 10, 12, 12]);
}

/// Stories 1, 3 and 4 of the proposal by which `behavior` came to Kubernetes (KEP-853).
#[test]
fn the_stories_of_the_proposal_come_out_as_they_are_told() {
    let fast = r#"{ "up": { "policies": [{ "percent": 900, "per": "60s" }] } }"#;
    assert_eq!(steps(fast, 1, 1000, 60, 3), [10, 100, 1000]);
    let slow = r#"{ "up": { "policies": [{ "replicas": 1, "per": "300s" }] } }"#;
    assert_eq!(steps(slow, 1, 40, 300, 3), [2, 3, 4]);
    let never_down = r#"{ "down": { "select": "disabled" } }"#;
    assert_eq!(steps(never_down, 10, 1, 600, 3), [10, 10, 10]);
    let one_in_ten_minutes =
        r#"{ "down": { "stabilization": "0s", "policies": [{ "replicas": 1, "per": "600s" }] } }"#;
    assert_eq!(
        steps(one_in_ten_minutes, 1000, 1, 60, 12)[..11],
        [999; 10].into_iter().chain([998]).collect::<Vec<_>>()
    );
}

/// Stories 5 and 6: the highest, or lowest, of what was proposed within the window.
#[test]
fn a_change_waits_until_nothing_in_the_window_speaks_against_it() {
    let it = controller(
        r#"{ "down": { "stabilization": "600s", "policies": [{ "replicas": 5, "per": "60s" }] } }"#,
    );
    let (mut memory, mut current) = (Memory::default(), 10);
    let proposals = [10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7];
    let went: Vec<u32> = (0..)
        .zip(proposals)
        .map(|(minute, proposed)| {
            current = memory.decide(&it, current, Some(proposed), at(NOW + minute * 60));
            current
        })
        .collect();
    assert_eq!(went, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9]);
    let up = controller(r#"{ "up": { "stabilization": "300s" } }"#);
    let (mut memory, mut current) = (Memory::default(), 2);
    let went: Vec<u32> = (0..)
        .zip([2, 3, 19, 10, 3, 4, 7])
        .map(|(minute, proposed)| {
            current = memory.decide(&up, current, Some(proposed), at(NOW + minute * 60));
            current
        })
        .collect();
    assert_eq!(went, [2, 2, 2, 2, 2, 3, 3]);
}

#[test]
fn a_new_controller_takes_nothing_away_for_the_length_of_its_window() {
    assert_eq!(steps("{}", 10, 2, 60, 7), [10, 10, 10, 10, 10, 2, 2]);
    assert_eq!(steps(r#"{ "down": { "stabilization": "0s" } }"#, 10, 2, 60, 2)[1], 2);
}

/// The smaller and the larger of two policies.
#[test]
fn policies_are_chosen_between_as_is_said() {
    let of = |select: &str| {
        let policies = r#"[{ "replicas": 2, "per": "60s" }, { "percent": 50, "per": "60s" }]"#;
        let text = format!(
            r#"{{ "down": {{ "select": "{select}", "stabilization": "0s", "policies": {policies} }} }}"#
        );
        steps(&text, 20, 1, 60, 3)
    };
    assert_eq!(of("max"), [10, 5, 2], "Kubernetes cuts what is left to a whole number, here 2.5");
    assert_eq!(of("min"), [18, 16, 14]);
}

/// A simpler model of the same rules: it remembers the whole past and looks at all of it every time.
#[derive(Default)]
struct Simple {
    /// Every decision: when, what was proposed (and what there was at the very first), and what there was before.
    past: Vec<(u64, u32, u32)>,
    first: Option<(u64, u32)>,
}

impl Simple {
    fn decide(&mut self, it: &Autoscaler, current: u32, proposed: u32, second: u64) -> u32 {
        let first = *self.first.get_or_insert((second, current));
        let seconds = |dur: Duration| dur.as_secs();
        let window = |length: Duration| {
            let recent = move |when: &u64| second - when < seconds(length);
            let old = self.past.iter().map(|(when, proposed, _)| (*when, *proposed)).chain([first]);
            old.filter(move |(when, _)| recent(when))
                .map(|(_, proposed)| proposed)
                .chain([proposed])
                .collect::<Vec<_>>()
        };
        let lowest = *window(it.up.stabilization.0).iter().min().unwrap();
        let highest = *window(it.down.stabilization.0).iter().max().unwrap();
        // The replicas that there were when a period began are those before its first decision.
        let at_start = |per: Duration| {
            let within = self.past.iter().find(|(when, ..)| second - when < seconds(per));
            within.map_or(current, |(_, _, before)| *before)
        };
        let wanted = if lowest > current {
            let limits = it.up.policies.iter().map(|policy| match policy.replicas {
                Some(more) => at_start(policy.per.0) + more,
                None => (f64::from(at_start(policy.per.0)) * (1.0 + policy.percent.unwrap() / 100.0)).ceil()
                    as u32,
            });
            lowest.min(limits.max().unwrap().max(current)).min(it.max)
        } else if highest < current {
            let limits = it.down.policies.iter().map(|policy| match policy.replicas {
                Some(fewer) => at_start(policy.per.0).saturating_sub(fewer),
                None => (f64::from(at_start(policy.per.0)) * (1.0 - policy.percent.unwrap() / 100.0)) as u32,
            });
            highest.max(limits.min().unwrap().min(current)).max(it.min)
        } else {
            current
        };
        self.past.push((second, proposed, current));
        wanted
    }
}

proptest! {
    #[test]
    fn it_decides_as_a_model_that_remembers_everything(
        proposals in prop::collection::vec((1_u64..40, 0_u32..60), 1..80),
        up_window in 0_u64..120, down_window in 0_u64..400,
        up in (1_u32..6, 1.0_f64..300.0, 5_u64..90), down in (1_u32..6, 1.0_f64..100.0, 5_u64..90),
        min in 1_u32..5, more in 0_u32..40, start in 1_u32..20,
    ) {
        let policies = |(replicas, percent, per): (u32, f64, u64)| {
            format!(r#"[{{ "replicas": {replicas}, "per": "{per}s" }}, {{ "percent": {percent}, "per": "{per}s" }}]"#)
        };
        let it = controller(&format!(
            r#"{{ "min": {min}, "max": {}, "up": {{ "stabilization": "{up_window}s", "policies": {} }},
                "down": {{ "stabilization": "{down_window}s", "policies": {} }} }}"#,
            min + more, policies(up), policies(down),
        ));
        let (mut memory, mut simple) = (Memory::default(), Simple::default());
        let mut current = start.clamp(min, min + more);
        let mut second = NOW;
        for (gap, proposed) in proposals {
            second += gap;
            let decided = memory.decide(&it, current, Some(proposed), at(second));
            prop_assert_eq!(decided, simple.decide(&it, current, proposed, second));
            prop_assert!((min..=min + more).contains(&decided));
            // What is kept is bounded by the windows, not by the length of the run.
            prop_assert!(memory.proposals.len() <= 2 + 400 && memory.ups.len() <= 90);
            current = decided;
        }
    }
}
