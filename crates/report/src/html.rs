//! The page: one file, offline, light and dark, printable. Charts are drawn in the browser by plotly's script, which
//! travels inside the page, from the data that travels with it; words and numbers are in the page itself.
//!
//! The page forbids itself every request (its content security policy), and every text of the story is escaped: by
//! the template in HTML, by [`data`] in JSON, by the page's script in chart labels. No time, no random id: the same
//! story gives the same bytes.

mod answer;
mod data;
mod loops;
mod stocks;

use askama::Template;
use pumphandle_experiment::result::{Arm, Claim, Story};

use crate::accumulate::accumulating;
use crate::check::Tally;
use crate::levers::{self, Lever};
use crate::terminal::accumulation;
use crate::words;

/// The page as a string of about five megabytes, nearly all of them the chart script.
pub fn html(story: &Story) -> String {
    page(story, &plotly_script())
}

/// The page with a given chart script.
fn page(story: &Story, plotly: &str) -> String {
    let result = &story.result;
    let levers = levers::levers(result);
    let page = Page {
        story,
        answer: answer::answer(story),
        tally: Tally::of(&result.claims).words(),
        accumulating: accumulating(story).map(|stock| accumulation(&stock)),
        against: levers::disagreements(result),
        treatments: result.arms.iter().filter(|arm| arm.lever.is_some()).map(Treatment::of).collect(),
        has_pulled: levers.iter().any(|lever| lever.pulled.is_some()),
        has_standing: levers.iter().any(|lever| lever.standing.is_some()),
        cost: levers.first().map_or_else(|| "harm".to_string(), |lever| levers::cost_name(lever.any)),
        rows: levers.iter().map(Row::of).collect(),
        outcomes: result.arms.iter().map(Outcomes::of).collect(),
        settings: settings(story),
        loops: story.loops.iter().map(loops::drawing).collect(),
        bathtubs: stocks::bathtubs(story),
        verdicts: &words::VERDICTS,
        data: data::json(story),
        css: include_str!("../templates/report.css"),
        script: include_str!("../templates/report.js"),
        plotly,
    };
    page.render().expect("the template writes into a string and calls nothing that fails")
}

/// Plotly's script as the crate ships it, without the formula renderer that comes after it.
fn plotly_script() -> String {
    let sources = plotly::Plot::offline_js_sources();
    let script = sources
        .split_once("<script type=\"text/javascript\">")
        .and_then(|(_, rest)| rest.split_once("</script>"));
    script.expect("the crate wraps its scripts in script elements").0.to_string()
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    story: &'a Story,
    answer: String,
    tally: String,
    accumulating: Option<String>,
    against: Vec<String>,
    treatments: Vec<Treatment>,
    has_pulled: bool,
    has_standing: bool,
    cost: String,
    rows: Vec<Row>,
    outcomes: Vec<Outcomes>,
    settings: Vec<Setting>,
    loops: Vec<loops::Drawing>,
    bathtubs: Vec<stocks::Bathtub>,
    verdicts: &'a [(&'static str, &'static str)],
    data: String,
    css: &'static str,
    script: &'static str,
    plotly: &'a str,
}

impl Page<'_> {
    fn seeds(&self) -> String {
        self.story.result.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    }

    fn length(&self) -> String {
        words::duration(self.story.result.windows_s.end)
    }

    fn pulled_at(&self) -> String {
        let windows = &self.story.result.windows_s;
        windows.pull.map_or_else(String::new, |at| format!(" at {}", words::instant(at, windows.end)))
    }

    fn place(&self, claim: &Claim) -> String {
        crate::check::place(&self.story.result, claim).unwrap_or_else(|| format!("line {}", claim.line))
    }

    fn attempts(&self) -> String {
        format!("{:.2} million", self.story.machine.attempts as f64 / 1e6)
    }
}

/// An entry of the selector.
struct Treatment {
    arm: String,
    label: String,
}

impl Treatment {
    fn of(arm: &Arm) -> Self {
        Self { arm: arm.arm.clone(), label: format!("{}: {}", levers::described(arm), levers::verdict(arm)) }
    }
}

/// A row of the table of levers.
struct Row {
    level: String,
    ours: bool,
    lever: String,
    title: String,
    evidence: String,
    lesson: String,
    pulled: Judged,
    standing: Judged,
    side_effects: String,
}

impl Row {
    fn of(lever: &Lever<'_>) -> Self {
        let arms = || lever.pulled.into_iter().chain(lever.standing);
        let effects = arms().filter_map(|arm| {
            let effects = &arm.verdict.as_ref()?.side_effects;
            let mode = arm.mode.as_deref().unwrap_or("");
            (!effects.is_empty()).then(|| format!("{mode}: {}", effects.join("; ")))
        });
        Self {
            level: lever.any.level.map_or_else(|| "-".to_string(), |level| level.to_string()),
            ours: lever.any.level_is_ours,
            lever: lever.name.to_string(),
            title: lever.any.title.clone().unwrap_or_default(),
            evidence: lever.any.evidence.clone().unwrap_or_default(),
            lesson: lever.any.lesson.clone().unwrap_or_else(|| "-".to_string()),
            pulled: Judged::of(lever.pulled),
            standing: Judged::of(lever.standing),
            side_effects: effects.collect::<Vec<_>>().join(". "),
        }
    }
}

/// What one mode of a lever was worth.
#[derive(Default)]
struct Judged {
    /// A class for the style sheet: helps, harms, unsure, or empty.
    class: &'static str,
    verdict: String,
    meaning: &'static str,
    mark: &'static str,
    agreement: &'static str,
    harm: String,
    method: String,
    recovery: String,
    first_effect: String,
}

impl Judged {
    fn of(arm: Option<&Arm>) -> Self {
        let Some((arm, verdict)) = arm.and_then(|arm| Some((arm, arm.verdict.as_ref()?))) else {
            return Self { verdict: "-".into(), ..Self::default() };
        };
        let harm = verdict.harm_vs_control.as_ref();
        let by_degrading = if verdict.by_degrading { " by degrading" } else { "" };
        Self {
            class: match verdict.is.as_str() {
                "prevents" | "ends" | "eases" => "helps",
                "worsens" => "harms",
                "undecided" | "not tested" => "unsure",
                _ => "",
            },
            verdict: format!("{}{by_degrading}", verdict.is),
            meaning: words::meaning(&verdict.is),
            mark: levers::mark(arm).trim(),
            agreement: match levers::agreement(arm) {
                Some("yes") => "as the lesson says",
                Some("and more") => "does more than the lesson says",
                Some("no") => "disagrees with the lesson",
                _ => "",
            },
            harm: harm.map_or_else(|| "-".to_string(), words::change_percent),
            method: harm
                .map_or_else(String::new, |i| format!("95 % interval over {} seeds, {}", i.n, i.method)),
            recovery: words::recovery(arm),
            first_effect: verdict.first_effect_s.map_or_else(String::new, words::duration),
        }
    }
}

/// A row of the table of outcomes.
struct Outcomes {
    arm: String,
    ending: String,
    cells: Vec<String>,
}

impl Outcomes {
    fn of(arm: &Arm) -> Self {
        let o = &arm.outcome;
        let share = |value: Option<f64>| value.map_or_else(|| "-".to_string(), words::share);
        let ms = |value: f64| words::duration(libm::round(value) / 1000.0);
        Self {
            arm: arm.arm.clone(),
            ending: arm.state.clone().unwrap_or_else(|| "-".to_string()),
            cells: vec![
                words::share(o.good_share),
                share(o.good_share_by_window.last_minute),
                words::share(if o.arrivals > 0.0 { o.degraded / o.arrivals } else { 0.0 }),
                words::share(o.visible_error_share),
                words::share(o.harm_share),
                share(o.recovered_share),
                ms(o.latency_ms.p50),
                ms(o.latency_ms.p99),
            ],
        }
    }
}

/// A setting of the control and who changes it.
struct Setting {
    path: String,
    value: String,
    changes: Vec<(String, String)>,
}

/// Every setting of the control, then those that exist only in a treatment.
fn settings(story: &Story) -> Vec<Setting> {
    let setting = |(path, value): (&String, &String)| Setting {
        path: path.clone(),
        value: value.clone(),
        changes: Vec::new(),
    };
    let mut rows: Vec<Setting> = story.settings.iter().map(setting).collect();
    for (lever, changes) in &story.changes {
        for change in changes {
            let at = rows.iter().position(|row| row.path == change.path).unwrap_or_else(|| {
                rows.push(setting((&change.path, &change.old)));
                rows.len() - 1
            });
            rows[at].changes.push((lever.clone(), change.new.clone()));
        }
    }
    rows
}
