//! A threshold along one setting: where the share of seeds that recover crosses one half, by
//! [`search`](crate::map::search). It says nothing about why.

use crate::map::axis::{Axis, Unit};
use crate::map::bench::{Arm, Bench, HowMany, Tick, TriggerOf, problems};
use crate::map::result::{About, SCHEMA, Seeds, Threshold, ThresholdPoint, ThresholdResult};
use crate::map::search::{Answer, Crossing, Search, Seen};
use crate::scenario::Scenario;

/// Places between the ends that are measured before bisecting: enough to meet a second crossing that is wider
/// than an eighth of the range.
const SCAN: usize = 7;

/// What is searched.
#[derive(Clone, Debug)]
pub struct Along<'a> {
    /// The scenario, with what the command line changes.
    pub scenario: &'a Scenario,
    /// Which arm.
    pub arm: Arm,
    /// The setting and its places.
    pub x: Axis,
    /// The precision that was asked for, as written.
    pub precision: String,
}

impl Along<'_> {
    /// What makes an end or a place between unable to run, for the person who chose the range.
    ///
    /// # Errors
    ///
    /// The first such place, with all that is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let last = self.x.values.len() - 1;
        for place in [0, last / 2, last] {
            let at = || format!("at {}={}", self.x.path, self.x.text(place));
            let scenario = self.at(place).map_err(|wrong| format!("{}: {wrong}", at()))?;
            if let Some(wrong) = problems(&scenario, &self.arm) {
                return Err(format!("{} it cannot run: {wrong}", at()));
            }
        }
        Ok(())
    }

    fn at(&self, place: usize) -> Result<Scenario, String> {
        let mut scenario = self.scenario.clone();
        self.x.put(&mut scenario, place)?;
        Ok(scenario)
    }

    /// Searches.
    pub fn run(&self, about: About, how: &HowMany<'_>, tick: &mut dyn FnMut(Tick)) -> ThresholdResult {
        let last = self.x.values.len() - 1;
        let mut bench = Bench::default();
        let mut search = Search::new(last, SCAN);
        let mut points: Vec<(usize, ThresholdPoint)> = Vec::new();
        while !bench.partial {
            let wanted = search.wanted();
            if wanted.is_empty() {
                break;
            }
            for (place, seen, point) in self.measure(&wanted, &mut bench, how, tick) {
                search.learn(place, seen);
                points.push((place, point));
            }
        }
        points.sort_by_key(|(place, _)| *place);
        let points: Vec<ThresholdPoint> = points.into_iter().map(|(_, point)| point).collect();
        let answer = search.answer();
        ThresholdResult {
            schema: SCHEMA,
            path: self.x.path.clone(),
            unit: self.x.unit,
            precision: self.precision.clone(),
            found: match &answer {
                Some(Answer::Crosses(crossing)) => Some(self.threshold(crossing)),
                _ => None,
            },
            refused: self.refused(answer.as_ref(), &points),
            warnings: self.warnings(answer.as_ref(), &points),
            points,
            runs: bench.runs,
            runs_of_every_place: self.x.values.len() as u64 * how.looks.at()[0],
            partial: bench.partial,
            about,
        }
    }

    /// Measures places; of an interrupted wave those that had their looks.
    fn measure(
        &self,
        wanted: &[usize],
        bench: &mut Bench,
        how: &HowMany<'_>,
        tick: &mut dyn FnMut(Tick),
    ) -> Vec<(usize, Seen, ThresholdPoint)> {
        let added: Vec<(usize, Result<String, String>)> = wanted
            .iter()
            .map(|&place| {
                let scenario = self.at(place);
                (place, scenario.and_then(|it| bench.add(&it, &self.arm, TriggerOf::Point)))
            })
            .collect();
        let keys: Vec<String> = added.iter().filter_map(|(_, key)| key.clone().ok()).collect();
        bench.settle(&keys, how, tick);
        let mut measured = Vec::new();
        for (place, key) in added {
            let (tally, reasons) = match &key {
                Ok(key) => (bench.probe(key).tally(), bench.probe(key).reasons.clone()),
                Err(wrong) => (Default::default(), vec![wrong.clone()]),
            };
            let valid = reasons.is_empty();
            let shown = how.looks.most(tally.well, tally.n).filter(|_| valid);
            if valid && (tally.n < how.looks.at()[0] || bench.partial && shown.is_none()) {
                continue;
            }
            let point = ThresholdPoint {
                value: self.x.values[place],
                written: self.x.text(place),
                well: Seeds::of(tally.well, tally.n),
                still_recovering: tally.n - tally.well - tally.down,
                shown: shown.map_or("", side).to_owned(),
                reasons,
            };
            measured.push((place, Seen { recovered: tally.well, of: tally.n, shown }, point));
        }
        measured
    }

    fn threshold(&self, crossing: &Crossing) -> Threshold {
        let values = |(from, to): (usize, usize)| [self.x.values[from], self.x.values[to]];
        let written = |(from, to): (usize, usize)| [self.x.text(from), self.x.text(to)];
        Threshold {
            recovers_below: crossing.recovers_below,
            bracket: values(crossing.bracket),
            bracket_written: written(crossing.bracket),
            interval: values(crossing.interval),
            interval_written: written(crossing.interval),
        }
    }

    fn refused(&self, answer: Option<&Answer>, points: &[ThresholdPoint]) -> String {
        let last = self.x.values.len() - 1;
        let place = |place: usize| {
            let written = self.x.text(place);
            let seeds = points.iter().find(|point| point.written == written);
            let seen = seeds.map_or(String::new(), |it| format!(", {} of {} seeds", it.well.k, it.well.n));
            format!("{written} (well at the end{seen})")
        };
        match answer {
            Some(Answer::Crosses(_)) => String::new(),
            None => "it was interrupted before both ends were measured".to_owned(),
            Some(Answer::Agree(recovers)) => format!(
                "both ends agree: it {} at {} and at {}; there is no threshold between them, or an even number \
                 of them",
                side(*recovers),
                place(0),
                place(last)
            ),
            Some(Answer::Open(end)) => {
                let reasons = points.iter().filter(|it| it.written == self.x.text(*end));
                let reasons: Vec<&str> =
                    reasons.flat_map(|it| it.reasons.iter().map(String::as_str)).collect();
                let why = if reasons.is_empty() {
                    "the seeds do not tell how it ends: take another end, or more seeds".to_owned()
                } else {
                    format!("it could not be measured: {}", reasons.join("; "))
                };
                format!("at the end {} {why}", place(*end))
            }
        }
    }

    fn warnings(&self, answer: Option<&Answer>, points: &[ThresholdPoint]) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(Answer::Crosses(crossing)) = answer {
            for (first, second) in &crossing.contradictions {
                warnings.push(format!(
                    "not monotone: it {} at {} and {} at {}, above it; there is more than one threshold, and \
                     this is the lowest that was met",
                    side(!crossing.recovers_below),
                    self.x.text(*first),
                    side(crossing.recovers_below),
                    self.x.text(*second)
                ));
            }
        }
        for point in points.iter().filter(|point| !point.reasons.is_empty()) {
            warnings.push(format!("not tested at {}: {}", point.written, point.reasons.join("; ")));
        }
        if self.x.unit == Unit::Whole && self.precision != "1" && self.precision.parse::<f64>().is_err() {
            warnings.push("whole numbers are told apart by 1".to_owned());
        }
        warnings
    }
}

fn side(recovers: bool) -> &'static str {
    if recovers { "recovers" } else { "stays down" }
}
