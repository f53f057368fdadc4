//! What a team goes by, as pure functions: the calendar, how likely a change is to be bad, how long people take. It must
//! not look at a clock, or at a stack.

use std::time::Duration;

use pumphandle_core::draws::exponential;
use pumphandle_core::{Share, Time};

use crate::scenario::team::{Day, Debt, Deployer};

/// Work begins and ends at these minutes of a day: 9 and 17 o'clock, which is a free choice.
const WORK: std::ops::Range<u64> = 9 * 60..17 * 60;

/// Minutes of work in a working day.
pub const WORKING_MINUTES: f64 = (WORK.end - WORK.start) as f64;

/// The minute of the run.
pub fn minute(at: Time) -> u64 {
    at.nanos() / 60_000_000_000
}

/// The day of the week; a run begins on a Monday.
pub fn day(at: Time) -> Day {
    Day::ALL[(minute(at) / 1440 % 7) as usize]
}

/// Whether people are at work.
pub fn at_work(at: Time) -> bool {
    !matches!(day(at), Day::Sat | Day::Sun) && WORK.contains(&(minute(at) % 1440))
}

/// Whether the calendar allows a deploy at this minute.
pub fn may_deploy(deployer: &Deployer, at: Time) -> bool {
    let of_day = minute(at) % 1440;
    let its_time = |time: &pumphandle_core::Dur| time.0.as_secs() / 60 == of_day;
    let now = if deployer.at.is_empty() { WORK.contains(&of_day) } else { deployer.at.iter().any(its_time) };
    now && deployer.days.contains(&day(at))
}

/// How likely a change is to be bad, with this much debt.
pub fn chance_of_bad(bad: Share, debt: &Debt, shortcuts: u64) -> f64 {
    (bad.0 * (1.0 + debt.risk.0 * shortcuts as f64)).min(1.0)
}

/// Changes developed per working day, with this much debt.
pub fn velocity(velocity: f64, debt: &Debt, shortcuts: u64) -> f64 {
    velocity / (1.0 + debt.drag.0 * shortcuts as f64)
}

/// How long something takes that takes `mean` in the mean, at the quantile `u`, for somebody who is tired.
pub fn takes(mean: Duration, u: f64, lengthens: Share, fatigue: u64) -> Duration {
    mean.mul_f64(exponential(u) * (1.0 + lengthens.0 * fatigue as f64))
}

/// How many users may have no good answer within a window in which so many are expected.
pub fn allowance(target: Share, expected: f64) -> u64 {
    ((1.0 - target.0) * expected).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pumphandle_core::Dur;
    use pumphandle_core::draws::{Draws, Path, Stream};

    fn at(day: u64, hour: u64, minute: u64) -> Time {
        Time::ZERO + Duration::from_secs((day * 1440 + hour * 60 + minute) * 60)
    }

    #[test]
    fn people_work_forty_hours_in_every_week() {
        let minutes = (0..7 * 1440).filter(|&it| at_work(at(0, 0, it))).count();
        assert_eq!(minutes, 40 * 60);
        assert!(at_work(at(4, 16, 59)) && !at_work(at(4, 17, 0)) && !at_work(at(5, 12, 0)));
        assert_eq!((day(at(6, 23, 59)), day(at(7, 0, 0))), (Day::Sun, Day::Mon));
    }

    proptest! {
        /// A version of n changes is bad with the chance 1 - (1 - p)^n, which is what makes large versions dangerous.
        #[test]
        fn a_version_is_bad_as_often_as_independent_changes_make_it(p in 0.01_f64..0.3, n in 1_u64..20, seed: u64) {
            let draws = Draws::new(seed);
            let bad = |change| draws.chance(p, Stream::Team, 1, Path::of_arrival(change));
            let versions = 4_000;
            let measured = (0..versions).filter(|v| (v * n..(v + 1) * n).any(bad)).count() as f64 / versions as f64;
            let expected = 1.0 - (1.0 - p).powi(n as i32);
            let sigma = (expected * (1.0 - expected) / versions as f64).sqrt();
            prop_assert!((measured - expected).abs() < 5.0 * sigma, "{measured}, expected {expected}");
        }

        #[test]
        fn debt_makes_changes_worse_and_work_slower_and_tired_people_take_longer(
            bad in 0.0_f64..1.0, shortcuts in 0_u64..100, u in 0.001_f64..0.999,
        ) {
            let debt = Debt { risk: Share(0.05), drag: Share(0.02), ..Debt::default() };
            let (few, more) = (shortcuts, shortcuts + 1);
            prop_assert!(chance_of_bad(Share(bad), &debt, more) >= chance_of_bad(Share(bad), &debt, few));
            prop_assert!(chance_of_bad(Share(bad), &debt, more) <= 1.0);
            prop_assert!(velocity(8.0, &debt, more) < velocity(8.0, &debt, few));
            let mean = Duration::from_secs(600);
            prop_assert!(takes(mean, u, Share(0.1), more) > takes(mean, u, Share(0.1), few));
            prop_assert_eq!(takes(mean, u, Share(0.0), more), takes(mean, u, Share(0.1), 0));
        }
    }

    #[test]
    fn the_calendar_allows_what_it_says() {
        let text =
            "{services: [api], ideas_per_day: 1, velocity_per_day: 1, bad: 0, harm: {errors: 1, slow: 1}}";
        let tree = crate::document::Document::parse("it", text).unwrap();
        let mut deployer: Deployer = serde_json::from_value(tree.value().clone()).unwrap();
        let count = |it: &Deployer| (0..7 * 1440).filter(|&m| may_deploy(it, at(0, 0, m))).count();
        assert_eq!(count(&deployer), 5 * 480, "any time, during work");
        deployer.at = vec![Dur(Duration::from_secs(36_000)), Dur(Duration::from_secs(54_000))];
        assert_eq!(count(&deployer), 10);
        deployer.days.retain(|day| *day != Day::Fri);
        assert_eq!(count(&deployer), 8);
        assert!(may_deploy(&deployer, at(3, 15, 0)) && !may_deploy(&deployer, at(4, 15, 0)));
    }
}
