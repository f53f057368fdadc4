//! How often the intervals of this module are right: a simulation in which the truth is known.
//!
//! It reports; it does not repair. Rows that fall short (few seeds of heavily skewed values, events too
//! rare to be seen at all) stay in the table, because whoever reads a verdict has to know them.
//! Its draws come from a generator of its own, keyed by the seed and the row, so that a new row
//! changes no other. It must not be used to draw anything else.

use core::f64::consts::{FRAC_2_PI, PI};
use std::fmt::Write as _;

use super::looks::{Decision, Looks, Region};
use super::{clopper_pearson, kendall, paired_difference, ratio_minus_one, spearman, welch_difference};

/// What a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The share of intervals that contain the truth; `target` is the confidence.
    Coverage,
    /// The share of checks that decide anything about claims whose border is the truth; `target` is the
    /// alpha that they must stay below.
    FalseDecisions,
}

/// One procedure on one kind of data. Shares are 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is measured.
    pub measure: Measure,
    /// The procedure, such as `paired t`.
    pub procedure: &'static str,
    /// What the values were drawn from.
    pub data: String,
    /// Seeds (points, for rank correlations), or the seeds of the looks.
    pub seeds: String,
    /// What the procedure promises.
    pub target: f64,
    /// What it does. Coverage counts only the replications that had an interval.
    pub measured: f64,
    /// Share of all replications whose interval lay wholly below the truth.
    pub below: f64,
    /// Share of all replications whose interval lay wholly above the truth.
    pub above: f64,
    /// Share of all replications without an interval.
    pub without: f64,
    /// Replications; none where the value is an exact sum rather than a simulation.
    pub replications: Option<u32>,
}

impl Row {
    /// Two standard errors of `measured`; 0 where it is exact.
    pub fn simulation_error(&self) -> f64 {
        let variance = self.measured * (1.0 - self.measured);
        self.replications.map_or(0.0, |n| 2.0 * libm::sqrt(variance / f64::from(n)))
    }
}

/// All rows. The same arguments give the same rows on every machine; ten thousand replications take a few
/// seconds and have a simulation error below one point in every row.
///
/// # Panics
/// If `replications` is 0.
pub fn report(seed: u64, replications: u32) -> Vec<Row> {
    assert!(replications > 0, "a simulation needs replications");
    let bench = Bench { seed, replications };
    let mut rows = Vec::new();
    for kind in [Kind::Normal, Kind::Exponential, Kind::LogNormal, Kind::Rare] {
        rows.extend([20, 160].map(|seeds| paired_t(&bench, kind, seeds)));
    }
    rows.extend([(20, 20), (20, 80)].map(|sizes| welch(&bench, sizes)));
    rows.extend(Pairs::ALL.map(|pairs| fieller(&bench, pairs, 20)));
    rows.extend([20, 40, 80, 160].map(exact_shares));
    for rho in [0.0, 0.5, 0.9] {
        rows.extend(rank_correlations(&bench, rho, 12));
    }
    for kind in [Kind::Normal, Kind::Exponential, Kind::LogNormal, Kind::Rare] {
        rows.push(looks_at_means(&bench, kind, 1));
    }
    rows.push(looks_at_means(&bench, Kind::Normal, 5));
    rows.push(looks_at_a_share(&bench));
    rows.push(looks_at_a_ratio(&bench));
    rows
}

/// The rows as two Markdown tables: coverage, then false decisions.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| interval | of | seeds | says | contains the truth | wholly below it | wholly above it | no interval | replications |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    table_lines(&mut text, rows, Measure::Coverage);
    text.push_str(
        "\n| decision at the looks | of | seeds | at most | decided wrongly | falsely broken | falsely held | no interval at a look | replications |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    table_lines(&mut text, rows, Measure::FalseDecisions);
    text
}

fn table_lines(text: &mut String, rows: &[Row], measure: Measure) {
    for row in rows.iter().filter(|row| row.measure == measure) {
        let (error, runs) = match row.replications {
            Some(n) => (format!(" ± {:.1}", 100.0 * row.simulation_error()), n.to_string()),
            None => (String::new(), String::from("exact")),
        };
        writeln!(
            text,
            "| {} | {} | {} | {} % | {:.1}{error} % | {:.1} % | {:.1} % | {:.1} % | {runs} |",
            row.procedure,
            row.data,
            row.seeds,
            100.0 * row.target,
            100.0 * row.measured,
            100.0 * row.below,
            100.0 * row.above,
            100.0 * row.without,
        )
        .expect("writing to a String cannot fail");
    }
}

// === The rows ===

/// The interval that is displayed everywhere.
const CONFIDENCE: f64 = 0.95;
/// The false decisions that a check may make.
const ALPHA: f64 = 0.05;

fn paired_t(bench: &Bench, kind: Kind, seeds: usize) -> Row {
    let data = format!("differences {}", kind.name());
    bench.coverage("paired t", data, seeds.to_string(), |draws| {
        let (treatment, control) = draws.differences(kind, seeds);
        side(paired_difference(&treatment, &control, CONFIDENCE).ok().map(|e| e.interval()), kind.mean())
    })
}

fn welch(bench: &Bench, (left, right): (usize, usize)) -> Row {
    let data = String::from("normal, standard deviations 1 and 3");
    bench.coverage("Welch's t", data, format!("{left} and {right}"), |draws| {
        let left: Vec<f64> = (0..left).map(|_| draws.normal()).collect();
        let right: Vec<f64> = (0..right).map(|_| 1.0 + 3.0 * draws.normal()).collect();
        side(welch_difference(&left, &right, CONFIDENCE).ok().map(|e| e.interval()), -1.0)
    })
}

fn fieller(bench: &Bench, pairs: Pairs, seeds: usize) -> Row {
    bench.coverage("Fieller, ratio - 1", String::from(pairs.name()), seeds.to_string(), |draws| {
        let (treatment, control) = draws.pairs(pairs, seeds);
        let interval = ratio_minus_one(&treatment, &control, CONFIDENCE).ok().map(|e| e.interval());
        side(interval, pairs.ratio_minus_one())
    })
}

/// The worst coverage over true shares, summed over all outcomes instead of simulated.
fn exact_shares(seeds: u32) -> Row {
    let worst = (1..50)
        .map(|p| clopper_pearson_coverage(seeds, f64::from(p) / 50.0))
        .min_by(|a, b| a.measured.total_cmp(&b.measured))
        .expect("49 shares");
    Row { data: format!("a share, worst of 0.02 to 0.98 ({})", worst.data), ..worst }
}

/// Exact coverage of the Clopper-Pearson interval: the binomial probability of the counts whose
/// interval contains `p`.
fn clopper_pearson_coverage(n: u32, p: f64) -> Row {
    let ln_choose = |k: u32| {
        let (n, k) = (f64::from(n), f64::from(k));
        libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
    };
    let mut tally = Tally::default();
    for k in 0..=n {
        let (hits, misses) = (f64::from(k), f64::from(n - k));
        let probability = libm::exp(ln_choose(k) + hits * libm::log(p) + misses * libm::log1p(-p));
        let interval = clopper_pearson(u64::from(k), u64::from(n), CONFIDENCE);
        tally.add(side(Some(interval), p), probability);
    }
    tally.row(Measure::Coverage, "Clopper-Pearson", format!("{p:.2}"), n.to_string(), None)
}

/// Spearman and Kendall on bivariate normal points, whose rank correlations are known: rho_s = (6 / pi)
/// asin(rho / 2) and tau = (2 / pi) asin(rho) (Kendall, Rank Correlation Methods, 1948).
fn rank_correlations(bench: &Bench, rho: f64, points: usize) -> [Row; 2] {
    let sample = move |draws: &mut Draws| -> (Vec<f64>, Vec<f64>) {
        let rest = libm::sqrt(1.0 - rho * rho);
        let point = |_| {
            let x = draws.normal();
            (x, rho * x + rest * draws.normal())
        };
        (0..points).map(point).unzip()
    };
    let data = format!("bivariate normal, correlation {rho}");
    [
        bench.coverage("Spearman", data.clone(), points.to_string(), |draws| {
            let (x, y) = sample(draws);
            side(spearman(&x, &y, CONFIDENCE).ok().map(|e| e.interval()), 6.0 / PI * libm::asin(rho / 2.0))
        }),
        bench.coverage("Kendall", data, points.to_string(), |draws| {
            let (x, y) = sample(draws);
            side(kendall(&x, &y, CONFIDENCE).ok().map(|e| e.interval()), FRAC_2_PI * libm::asin(rho))
        }),
    ]
}

/// Claims that a mean difference is above its true value: to decide any is an error.
fn looks_at_means(bench: &Bench, kind: Kind, claims: usize) -> Row {
    let data = match claims {
        1 => format!("paired t, differences {}", kind.name()),
        _ => format!("paired t, {claims} claims at once, differences {}", kind.name()),
    };
    bench.false_decisions("sequential looks", data, claims, |draws, looks| {
        let (treatment, control) = draws.differences(kind, 160);
        on_the_border(looks, kind.mean(), |seeds, confidence| {
            let estimate = paired_difference(&treatment[..seeds], &control[..seeds], confidence);
            estimate.ok().map(|e| e.interval())
        })
    })
}

/// The claim that more than half of the seeds recover, when exactly half do.
fn looks_at_a_share(bench: &Bench) -> Row {
    let data = String::from("Clopper-Pearson, a share of one half");
    bench.false_decisions("sequential looks", data, 1, |draws, looks| {
        let recovered: Vec<bool> = (0..160).map(|_| draws.uniform() < 0.5).collect();
        on_the_border(looks, 0.5, |seeds, confidence| {
            let k = recovered[..seeds].iter().filter(|r| **r).count();
            Some(clopper_pearson(k as u64, seeds as u64, confidence))
        })
    })
}

/// The claim that a treatment leaves more than 90 % of the harm, when it leaves exactly that.
fn looks_at_a_ratio(bench: &Bench) -> Row {
    let pairs = Pairs::LogNormal;
    let data = format!("Fieller, {}", pairs.name());
    bench.false_decisions("sequential looks", data, 1, |draws, looks| {
        let (treatment, control) = draws.pairs(pairs, 160);
        on_the_border(looks, pairs.ratio_minus_one(), |seeds, confidence| {
            let estimate = ratio_minus_one(&treatment[..seeds], &control[..seeds], confidence);
            estimate.ok().map(|e| e.interval())
        })
    })
}

// === Counting ===

/// Where the truth was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// In the interval; of a decision: left undecided.
    Inside,
    /// The whole interval was below it.
    Below,
    /// The whole interval was above it.
    Above,
    /// There was no interval.
    Without,
}

fn side(interval: Option<(f64, f64)>, truth: f64) -> Side {
    // A mean of differences that are all equal may miss the truth by a rounding error, and no more.
    let slack = 1e-12 * truth.abs().max(1.0);
    match interval {
        None => Side::Without,
        Some((_, high)) if high < truth - slack => Side::Below,
        Some((low, _)) if low > truth + slack => Side::Above,
        Some(_) => Side::Inside,
    }
}

fn on_the_border(
    looks: &Looks,
    truth: f64,
    mut interval: impl FnMut(usize, f64) -> Option<(f64, f64)>,
) -> Side {
    let mut gave_none = false;
    let judged = looks.judge(Region::above(truth), |seeds, confidence| {
        let bounds = interval(seeds, confidence);
        gave_none |= bounds.is_none();
        bounds
    });
    match judged.decision {
        Decision::Held => Side::Above,
        Decision::Broken => Side::Below,
        Decision::Undecided if gave_none => Side::Without,
        Decision::Undecided => Side::Inside,
    }
}

/// Weights of the replications by where the truth was.
#[derive(Default)]
struct Tally {
    inside: f64,
    below: f64,
    above: f64,
    without: f64,
}

impl Tally {
    fn add(&mut self, side: Side, weight: f64) {
        match side {
            Side::Inside => self.inside += weight,
            Side::Below => self.below += weight,
            Side::Above => self.above += weight,
            Side::Without => self.without += weight,
        }
    }

    fn row(
        self,
        measure: Measure,
        procedure: &'static str,
        data: String,
        seeds: String,
        replications: Option<u32>,
    ) -> Row {
        let wrong = self.below + self.above;
        let all = self.inside + wrong + self.without;
        let answered = self.inside + wrong;
        let (target, measured) = match measure {
            Measure::Coverage if answered == 0.0 => (CONFIDENCE, 0.0),
            Measure::Coverage => (CONFIDENCE, self.inside / answered),
            Measure::FalseDecisions => (ALPHA, wrong / all),
        };
        Row {
            measure,
            procedure,
            data,
            seeds,
            target,
            measured,
            below: self.below / all,
            above: self.above / all,
            without: self.without / all,
            replications,
        }
    }
}

/// Repeats one experiment with the draws of its row.
struct Bench {
    seed: u64,
    replications: u32,
}

impl Bench {
    fn coverage(
        &self,
        procedure: &'static str,
        data: String,
        seeds: String,
        mut once: impl FnMut(&mut Draws) -> Side,
    ) -> Row {
        let mut draws = Draws::keyed(self.seed, &[procedure, &data, &seeds]);
        let mut tally = Tally::default();
        for _ in 0..self.replications {
            tally.add(once(&mut draws), 1.0);
        }
        tally.row(Measure::Coverage, procedure, data, seeds, Some(self.replications))
    }

    /// A check of several claims errs when it decides any of them.
    fn false_decisions(
        &self,
        procedure: &'static str,
        data: String,
        claims: usize,
        mut once: impl FnMut(&mut Draws, &Looks) -> Side,
    ) -> Row {
        let looks = Looks::new(ALPHA, claims);
        let mut draws = Draws::keyed(self.seed, &[procedure, &data]);
        let mut tally = Tally::default();
        for _ in 0..self.replications {
            let sides: Vec<Side> = (0..claims).map(|_| once(&mut draws, &looks)).collect();
            let wrong = sides.iter().find(|side| matches!(side, Side::Above | Side::Below));
            let without = sides.iter().find(|side| **side == Side::Without);
            tally.add(*wrong.or(without).unwrap_or(&Side::Inside), 1.0);
        }
        let seeds = String::from("20, 40, 80, 160");
        tally.row(Measure::FalseDecisions, procedure, data, seeds, Some(self.replications))
    }
}

// === The truth ===

/// What a difference between two arms of one seed is drawn from.
#[derive(Clone, Copy)]
enum Kind {
    Normal,
    Exponential,
    LogNormal,
    Rare,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Normal => "normal",
            Kind::Exponential => "exponential",
            Kind::LogNormal => "log-normal, sigma 1",
            Kind::Rare => "1 in one seed of twenty, else 0",
        }
    }

    fn mean(self) -> f64 {
        match self {
            Kind::Normal => 0.5,
            Kind::Exponential => 1.0,
            Kind::LogNormal => libm::exp(0.5),
            Kind::Rare => 0.05,
        }
    }
}

/// How the harm of treatment and control is drawn for a ratio; both share what the seed brings.
#[derive(Clone, Copy)]
enum Pairs {
    Steady,
    Noisy,
    LogNormal,
}

impl Pairs {
    const ALL: [Self; 3] = [Self::Steady, Self::Noisy, Self::LogNormal];

    fn name(self) -> &'static str {
        match self {
            Pairs::Steady => "normal, correlated, control varies by a fifth of its mean",
            Pairs::Noisy => "normal, control varies by twice its mean",
            Pairs::LogNormal => "log-normal, sigma 0.5, correlated",
        }
    }

    fn ratio_minus_one(self) -> f64 {
        match self {
            Pairs::Steady => -0.6,
            Pairs::Noisy => 0.5,
            Pairs::LogNormal => -0.1,
        }
    }
}

/// The generator splitmix64 (Steele, Lea and Flood, OOPSLA 2014; constants of Vigna's public-domain
/// `splitmix64.c`), keyed by names. For this simulation only.
struct Draws {
    state: u64,
}

impl Draws {
    /// The key is the FNV-1a hash of the names (64 bits; Fowler, Noll and Vo), started from the seed.
    fn keyed(seed: u64, names: &[&str]) -> Self {
        const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
        let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
        let key = bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        // Two keys must not be two places of one sequence: the seed is mixed before it is added.
        Self { state: key ^ Self { state: seed }.next() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Strictly between 0 and 1: the middle of one of 2^53 equal steps.
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Box and Muller (Annals of Mathematical Statistics 29(2), 1958), of which one value is used.
    fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.uniform()));
        radius * libm::cos(2.0 * PI * self.uniform())
    }

    fn of(&mut self, kind: Kind) -> f64 {
        match kind {
            Kind::Normal => 0.5 + self.normal(),
            Kind::Exponential => -libm::log(self.uniform()),
            Kind::LogNormal => libm::exp(self.normal()),
            Kind::Rare => f64::from(u8::from(self.uniform() < 0.05)),
        }
    }

    /// Treatment and control per seed whose differences are of one kind. The control is a whole number,
    /// so that subtracting it gives the difference back.
    fn differences(&mut self, kind: Kind, seeds: usize) -> (Vec<f64>, Vec<f64>) {
        let pair = |_| {
            let control = libm::floor(100.0 * self.uniform());
            (control + self.of(kind), control)
        };
        (0..seeds).map(pair).unzip()
    }

    fn pairs(&mut self, pairs: Pairs, seeds: usize) -> (Vec<f64>, Vec<f64>) {
        let pair = |_| match pairs {
            Pairs::Steady => {
                let control = 10.0 + 2.0 * self.normal();
                (0.4 * control + 0.5 * self.normal(), control)
            }
            Pairs::Noisy => (1.5 + self.normal(), 1.0 + 2.0 * self.normal()),
            Pairs::LogNormal => {
                let shared = 0.4 * self.normal();
                let mut own = || libm::exp(shared + 0.3 * self.normal());
                (0.9 * own(), own())
            }
        };
        (0..seeds).map(pair).unzip()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::super::decide;
    use super::*;

    fn row<'a>(rows: &'a [Row], procedure: &str, data: &str, seeds: &str) -> &'a Row {
        let wanted = |row: &&Row| row.procedure == procedure && row.data.contains(data) && row.seeds == seeds;
        rows.iter().find(wanted).unwrap_or_else(|| panic!("no row {procedure}, {data}, {seeds}"))
    }

    fn assert_between(row: &Row, low: f64, high: f64) {
        assert!(low <= row.measured && row.measured <= high, "not in {low}..{high}: {row:?}");
    }

    /// 2,000 replications have a standard error of half a point at 95 %: the bands are four of them wide.
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| report(1, 2000));

    #[test]
    fn intervals_cover_what_they_say_where_their_assumptions_hold() {
        for seeds in ["20", "160"] {
            assert_between(row(&ROWS, "paired t", "normal", seeds), 0.93, 0.97);
        }
        for seeds in ["20 and 20", "20 and 80"] {
            assert_between(row(&ROWS, "Welch's t", "normal", seeds), 0.93, 0.97);
        }
        assert_between(row(&ROWS, "Fieller, ratio - 1", "a fifth", "20"), 0.93, 0.97);
        assert_between(row(&ROWS, "Fieller, ratio - 1", "log-normal", "20"), 0.92, 0.97);
        for data in ["correlation 0", "correlation 0.5", "correlation 0.9"] {
            assert_between(ranks("Spearman", data), 0.93, 0.98);
        }
        for data in ["correlation 0", "correlation 0.5"] {
            assert_between(ranks("Kendall", data), 0.92, 0.98);
        }
    }

    fn ranks(procedure: &str, data: &str) -> &'static Row {
        let wanted = |row: &&Row| row.procedure == procedure && row.data.ends_with(data);
        ROWS.iter().find(wanted).unwrap_or_else(|| panic!("no row {procedure}, {data}"))
    }

    #[test]
    fn the_known_limits_are_in_the_table() {
        // A sample without large values has a small mean and a small spread at once: misses lie below.
        for (data, low, high) in [("exponential", 0.89, 0.94), ("log-normal", 0.82, 0.91)] {
            let found = row(&ROWS, "paired t", data, "20");
            assert_between(found, low, high);
            assert!(found.below > 3.0 * found.above, "{found:?}");
        }
        assert_between(row(&ROWS, "paired t", "exponential", "160"), 0.925, 0.965);
        assert_between(row(&ROWS, "paired t", "log-normal", "160"), 0.90, 0.955);
        // 0.95^20 = 36 % of samples show nothing, and then the interval is the point 0.
        let rare = row(&ROWS, "paired t", "one seed of twenty", "20");
        assert!(rare.below > 0.3 && rare.measured < 0.7, "{rare:?}");
        // Kendall's variance is that of weak correlations.
        assert_between(ranks("Kendall", "correlation 0.9"), 0.87, 0.94);
    }

    #[test]
    fn a_control_that_cannot_be_told_from_zero_gives_no_ratio() {
        let noisy = row(&ROWS, "Fieller, ratio - 1", "twice its mean", "20");
        assert!(noisy.without > 0.2 && noisy.without < 0.8, "{noisy:?}");
        // An unbounded set is right more often than a bounded one, so those that remain cover a little less.
        assert!(1.0 - noisy.below - noisy.above > 0.94, "{noisy:?}");
    }

    #[test]
    fn clopper_pearson_never_covers_less_than_it_says() {
        for n in [1, 5, 20, 40, 80, 160] {
            for p in 1..50 {
                let row = clopper_pearson_coverage(n, f64::from(p) / 50.0);
                assert!(row.measured >= CONFIDENCE, "{row:?}");
                assert!(row.below <= 0.025 + 1e-12 && row.above <= 0.025 + 1e-12, "{row:?}");
            }
        }
    }

    #[test]
    fn looking_four_times_decides_wrongly_at_most_as_often_as_promised() {
        for data in ["paired t, differences normal", "5 claims", "share of one half", "Fieller"] {
            let found = row(&ROWS, "sequential looks", data, "20, 40, 80, 160");
            assert!(found.measured <= ALPHA, "{found:?}");
            assert!(found.measured > 0.0, "a check that never errs cannot have looked: {found:?}");
        }
        // What the looks cannot repair: no seed of the first twenty shows the event.
        let rare = row(&ROWS, "sequential looks", "one seed of twenty", "20, 40, 80, 160");
        assert!(rare.below > 0.3, "{rare:?}");
    }

    #[test]
    fn a_look_without_a_correction_would_err_too_often() {
        let bench = Bench { seed: 1, replications: 2000 };
        let mut draws = Draws::keyed(bench.seed, &["uncorrected"]);
        let wrong = (0..bench.replications).filter(|_| {
            let (treatment, control) = draws.differences(Kind::Normal, 160);
            Looks::SEEDS.iter().any(|n| {
                let estimate = paired_difference(&treatment[..*n], &control[..*n], CONFIDENCE).unwrap();
                decide(estimate.interval(), Region::above(0.5)) != Decision::Undecided
            })
        });
        assert!(wrong.count() > 200, "the correction has nothing to correct");
    }

    #[test]
    fn the_same_seed_gives_the_same_rows_and_another_seed_others() {
        let first = report(7, 20);
        assert_eq!(first, report(7, 20));
        assert_ne!(first, report(8, 20));
    }

    #[test]
    fn the_tables_have_a_line_per_row() {
        let rows = report(7, 5);
        let text = markdown(&rows);
        assert_eq!(text.lines().count(), rows.len() + 5, "{text}");
        assert!(text.lines().filter(|l| !l.is_empty()).all(|line| line.matches('|').count() == 10), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn splitmix64_gives_its_published_sequence() {
        let mut draws = Draws { state: 1_234_567 };
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(published.map(|_| draws.next()), published);
    }
}
