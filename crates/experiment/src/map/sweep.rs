//! A map of two settings: follows the borders of [`refine`](crate::map::refine), and classifies each point that
//! it asks for. What a class means stands in [`class`](crate::map::class).

use pumphandle_core::Dur;

use crate::map::axis::Axis;
use crate::map::bench::{Arm, Bench, HowMany, Tick, TriggerOf, problems};
use crate::map::class::{Class, Verdict, classify, classify_without_recovery};
use crate::map::refine::{Point, Refinement};
use crate::map::result::{About, AxisInfo, MapPoint, MapResult, SCHEMA, Seeds};
use crate::scenario::{Kind, Scenario};

/// A trigger counts as longer when it lasts this many times as long as the scenario's, unless somebody says how
/// long.
const LONGER: u32 = 10;

/// Cells on each axis at first: a region wider and higher than an eighth of the map is seen.
const FIRST_CELLS: usize = 8;

/// What is swept.
#[derive(Clone, Debug)]
pub struct Sweep<'a> {
    /// The scenario, with what the command line changes.
    pub scenario: &'a Scenario,
    /// Which arm.
    pub arm: Arm,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What "a longer trigger" means; if absent, as long as the map's longest where an axis is the length of a
    /// trigger, and else ten times as long as the scenario's.
    pub longest: Option<Dur>,
}

impl Sweep<'_> {
    /// What makes a point of its edges unable to run, for the person who chose the ranges.
    ///
    /// # Errors
    ///
    /// The first such point, with all that is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.x.path == self.y.path {
            return Err(format!("both axes are `{}`: a map needs two settings", self.x.path));
        }
        let (columns, rows) = self.size();
        let edge = |(x, y): &Point| *x == 0 || *y == 0 || *x + 1 == columns || *y + 1 == rows;
        for (x, y) in all(columns, rows).filter(edge) {
            let at = || {
                let (left, low) = (self.x.text(x), self.y.text(y));
                format!("at {}={left} and {}={low}", self.x.path, self.y.path)
            };
            let scenario = self.at((x, y)).map_err(|wrong| format!("{}: {wrong}", at()))?;
            if let Some(wrong) = problems(&scenario, &self.arm) {
                return Err(format!("{} it cannot run: {wrong}", at()));
            }
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        (self.x.values.len(), self.y.values.len())
    }

    /// The scenario of a point.
    fn at(&self, (x, y): Point) -> Result<Scenario, String> {
        let mut scenario = self.scenario.clone();
        self.x.put(&mut scenario, x)?;
        self.y.put(&mut scenario, y)?;
        Ok(scenario)
    }

    /// How long the longest trigger is; none where nothing has a trigger that ends.
    pub fn longest(&self) -> Option<Dur> {
        let (_, to) = self.scenario.trigger_window()?;
        if to.is_none() || self.scenario.kind != Kind::Pulse {
            return None;
        }
        let lengths = |axis: &Axis| {
            let is_length = self
                .scenario
                .timeline
                .iter()
                .any(|trigger| axis.path == format!("timeline.{}.for", trigger.trigger));
            let last = axis.values.last().copied().unwrap_or_default();
            is_length.then(|| Dur(std::time::Duration::from_secs_f64(last)))
        };
        let of_map = lengths(&self.x).max(lengths(&self.y));
        let of_scenario = self.scenario.timeline.iter().filter_map(|trigger| trigger.lasts).max()?;
        Some(self.longest.or(of_map).unwrap_or(Dur(of_scenario.0 * LONGER)))
    }

    /// Measures the map.
    pub fn run(&self, about: About, how: &HowMany<'_>, tick: &mut dyn FnMut(Tick)) -> MapResult {
        let (columns, rows) = self.size();
        let mut bench = Bench::default();
        let mut refinement = Refinement::new(columns, rows, FIRST_CELLS);
        let mut points: Vec<(Point, MapPoint)> = Vec::new();
        while !bench.partial {
            let wanted = refinement.wanted();
            if wanted.is_empty() {
                break;
            }
            for point in self.classify(&wanted, &mut bench, how, tick) {
                refinement.learn((point.x, point.y), point.class);
                points.push(((point.x, point.y), point));
            }
        }
        points.sort_by_key(|(at, _)| *at);
        let row = |y: usize| (0..columns).map(|x| refinement.class((x, y))).collect();
        MapResult {
            schema: SCHEMA,
            x: AxisInfo::of(&self.x),
            y: AxisInfo::of(&self.y),
            longest_trigger_s: self.longest().map(Dur::secs_f64),
            classes: (0..rows).map(row).collect(),
            points: points.into_iter().map(|(_, point)| point).collect(),
            runs: bench.runs,
            runs_of_full_grid: (columns * rows) as u64 * how.looks.at()[0],
            partial: bench.partial,
            about,
        }
    }

    /// Measures and classifies points; of an interrupted wave those that are whole.
    fn classify(
        &self,
        wanted: &[Point],
        bench: &mut Bench,
        how: &HowMany<'_>,
        tick: &mut dyn FnMut(Tick),
    ) -> Vec<MapPoint> {
        let mut open: Vec<Asked> = wanted.iter().map(|&at| self.ask(at, bench)).collect();
        // At most three waves: the point's trigger, then none or the longest.
        loop {
            let keys: Vec<String> = open.iter().filter_map(Asked::latest).cloned().collect();
            bench.settle(&keys, how, tick);
            let mut asked_more = false;
            for point in &mut open {
                asked_more |= self.ask_more(point, bench, how);
            }
            if !asked_more || bench.partial {
                break;
            }
        }
        let whole =
            open.into_iter().filter_map(|point| point.class.map(|class| point.document(class, bench)));
        whole.collect()
    }

    fn ask(&self, at: Point, bench: &mut Bench) -> Asked {
        let added = self.at(at).and_then(|scenario| match problems(&scenario, &self.arm) {
            Some(wrong) => Err(wrong),
            None => bench.add(&scenario, &self.arm, TriggerOf::Point),
        });
        match added {
            Ok(key) => Asked { at, with: Some(key), none: None, longest: None, class: None, refused: None },
            Err(wrong) => Asked {
                at,
                with: None,
                none: None,
                longest: None,
                class: Some(Class::NotTested),
                refused: Some(wrong),
            },
        }
    }

    /// Gives a point its class, or asks for the probe that it needs; true if it did the latter.
    fn ask_more(&self, point: &mut Asked, bench: &mut Bench, how: &HowMany<'_>) -> bool {
        let (None, Some(with)) = (point.class, &point.with) else { return false };
        let known = |key: &String| bench.probe(key).reasons.is_empty();
        if ![point.with.as_ref(), point.none.as_ref(), point.longest.as_ref()]
            .into_iter()
            .flatten()
            .all(known)
        {
            point.class = Some(Class::NotTested);
            return false;
        }
        let tally = |key: &String| bench.probe(key).tally();
        let with = tally(with);
        // What an interruption left without its first look is not a result.
        if with.n < how.looks.at()[0] {
            return false;
        }
        let Some(longest) = self.longest() else {
            point.class = Some(classify_without_recovery(with, how.looks));
            return false;
        };
        let trigger = match classify(
            with,
            point.none.as_ref().map(tally),
            point.longest.as_ref().map(tally),
            how.looks,
        ) {
            // Half a look that undecides is an interruption, not a finding.
            Verdict::Is(Class::Undecided) if bench.partial => return false,
            Verdict::Is(class) => {
                point.class = Some(class);
                return false;
            }
            Verdict::NeedsNone => TriggerOf::None,
            Verdict::NeedsLongest => TriggerOf::Longest(longest),
        };
        let added = self.at(point.at).and_then(|scenario| bench.add(&scenario, &self.arm, trigger));
        match added {
            Ok(key) if trigger == TriggerOf::None => point.none = Some(key),
            Ok(key) => point.longest = Some(key),
            Err(wrong) => {
                point.refused = Some(wrong);
                point.class = Some(Class::NotTested);
                return false;
            }
        }
        true
    }
}

/// A point on its way to a class.
struct Asked {
    at: Point,
    with: Option<String>,
    none: Option<String>,
    longest: Option<String>,
    class: Option<Class>,
    refused: Option<String>,
}

impl Asked {
    /// The probe that it waits for, if it waits.
    fn latest(&self) -> Option<&String> {
        if self.class.is_some() {
            return None;
        }
        self.longest.as_ref().or(self.none.as_ref()).or(self.with.as_ref())
    }

    fn document(self, class: Class, bench: &Bench) -> MapPoint {
        let tally = |key: &Option<String>| key.as_ref().map(|key| bench.probe(key).tally());
        let keys = [&self.with, &self.none, &self.longest];
        let reasons = keys.into_iter().flatten().flat_map(|key| bench.probe(key).reasons.clone());
        let with = tally(&self.with).unwrap_or_default();
        MapPoint {
            x: self.at.0,
            y: self.at.1,
            class,
            well: Seeds::of(with.well, with.n),
            still_recovering: with.n - with.well - with.down,
            well_without_trigger: tally(&self.none).map(|it| Seeds::of(it.well, it.n)),
            well_after_longest: tally(&self.longest).map(|it| Seeds::of(it.well, it.n)),
            reasons: self.refused.into_iter().chain(reasons).collect(),
        }
    }
}

fn all(columns: usize, rows: usize) -> impl Iterator<Item = Point> {
    (0..columns).flat_map(move |x| (0..rows).map(move |y| (x, y)))
}
