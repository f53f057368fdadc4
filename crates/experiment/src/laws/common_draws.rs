//! What common draws are worth: arms of one seed see the same users, the same work and the same failures, so
//! that the difference between two arms varies less than either. Measured on an incident: how many times
//! more runs with draws of their own would be needed for an interval as narrow.

use std::sync::atomic::AtomicBool;

use crate::measure::{How, Measured};
use crate::plan;
use crate::scenario::{Mode, Scenario};
use crate::stats::variance;

/// One lever beside its control.
#[derive(Clone, Debug, PartialEq)]
pub struct Gain {
    /// The lever, pulled.
    pub lever: String,
    /// Standard deviation, over seeds, of the difference in harm with common draws.
    pub common: f64,
    /// The same, of arms with draws of their own: the root of the sum of their variances.
    pub own: f64,
}

impl Gain {
    /// How many times more seeds would be needed with draws of their own; none if the difference did not
    /// vary at all.
    pub fn factor(&self) -> Option<f64> {
        (self.common > 0.0).then(|| self.own * self.own / (self.common * self.common))
    }
}

/// Measures all pulled levers of `incident`, over seeds 1 to `seeds`. Harm is users not served well from the
/// pull to the end, per seed.
///
/// # Errors
///
/// What was wrong with a lever, or why the run is not valid.
pub fn measure(incident: &Scenario, seeds: u64, threads: usize) -> Result<Vec<Gain>, String> {
    let mut arms = vec![plan::control(incident)];
    for (name, lever) in &incident.levers {
        if lever.modes.contains(&Mode::Pulled) {
            let arm = plan::treatment(incident, name, Mode::Pulled);
            arms.push(arm.map_err(|wrong| format!("lever `{name}`: {}", wrong[0].1))?);
        }
    }
    let never = AtomicBool::new(false);
    let how = How { threads, stop: &never, keep_events: 0, keep_series: false };
    let mut measured = Measured::new(incident, arms, false);
    measured.extend(incident, &(1..=seeds).collect::<Vec<u64>>(), &how, || ());
    if let Some(reason) = measured.reasons.first() {
        return Err(reason.clone());
    }
    let harm =
        |arm: usize| -> Vec<f64> { measured.arms[arm].seeds.iter().map(|seed| seed.pulled.harm).collect() };
    let control = harm(0);
    let of = |values: &[f64]| variance(values).unwrap_or(0.0);
    Ok((1..measured.arms.len())
        .map(|arm| {
            let treated = harm(arm);
            let differences: Vec<f64> = treated.iter().zip(&control).map(|(t, c)| t - c).collect();
            Gain {
                lever: measured.arms[arm].plan.name.clone(),
                common: libm::sqrt(of(&differences)),
                own: libm::sqrt(of(&treated) + of(&control)),
            }
        })
        .collect())
}
