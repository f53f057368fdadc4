//! `pumphandle compare`: named sets of settings side by side on the incidents.

use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::presets::{self, Read};
use pumphandle_experiment::scenario::Mode;
use pumphandle_experiment::scenario::read::Checked;
use pumphandle_report::presets::Compared;
use serde_json::json;

use crate::args::PresetsArguments;
use crate::bench::{self, Bench};
use crate::{End, scenarios, screen};

pub(crate) fn presets(arguments: &PresetsArguments) -> anyhow::Result<End> {
    let known = match arguments.preset.as_slice() {
        [] => scenarios::all_presets()?,
        some => some.iter().map(|name| scenarios::preset(name)).collect::<Result<_, _>>()?,
    };
    let names = scenarios::asked(&arguments.many.scenarios);
    // All that can be wrong is told before anything is run.
    let incidents: Vec<Incident> =
        names.iter().map(|name| Incident::new(scenarios::load(name)?, &known)).collect::<Result<_, _>>()?;
    let compared = measure(arguments, incidents);
    if arguments.many.json {
        let document = json!({
            "schema": 1,
            "presets": known.iter().map(|it| &it.preset).collect::<Vec<_>>(),
            "scenarios": compared.iter().map(as_json).collect::<Vec<_>>(),
        });
        screen::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    } else if arguments.many.markdown {
        screen::print(&pumphandle_report::presets::markdown(&known, &compared))?;
    } else {
        screen::print(&pumphandle_report::presets::text(&known, &compared))?;
    }
    Ok(end(&compared))
}

/// A scenario with the presets as levers, and the arms to run; or why there is no place for them.
struct Incident {
    checked: Checked,
    place: Result<(String, String), String>,
    arms: Vec<ArmPlan>,
}

impl Incident {
    fn new(mut checked: Checked, known: &[Read]) -> anyhow::Result<Incident> {
        let scenario = &mut checked.scenario;
        let place = presets::edge(scenario).map(|(service, callee)| (service.to_owned(), callee.to_owned()));
        let mut arms = vec![plan::control(scenario)];
        if let Ok((service, _)) = &place {
            for preset in known {
                let name = presets::add(scenario, service, preset).map_err(anyhow::Error::msg)?;
                let arm = plan::treatment(scenario, &name, Mode::Standing);
                arms.push(arm.map_err(|wrong| anyhow::anyhow!("preset `{name}`: {}", wrong[0].1))?);
            }
        }
        Ok(Incident { checked, place, arms })
    }
}

fn measure(arguments: &PresetsArguments, incidents: Vec<Incident>) -> Vec<Compared> {
    let runs: usize = incidents.iter().map(|it| it.arms.len()).sum::<usize>() * arguments.many.seeds as usize;
    let mut bench = Bench::new(arguments.many.jobs, runs, "presets");
    let mut one = |Incident { checked, place, arms }: Incident| {
        let title = checked.scenario.title.clone();
        let measured = place
            .map(|place| (place, bench.measure(&checked, arms, arguments.many.seed, arguments.many.seeds)));
        Compared { scenario: checked.scenario.scenario, title, measured }
    };
    let compared = incidents.into_iter().map(&mut one).collect();
    bench.finish();
    compared
}

fn as_json(compared: &Compared) -> serde_json::Value {
    match &compared.measured {
        Ok(((service, callee), result)) => {
            json!({ "scenario": compared.scenario, "service": service, "callee": callee, "result": result })
        }
        Err(why) => json!({ "scenario": compared.scenario, "not_compared": why }),
    }
}

fn end(compared: &[Compared]) -> End {
    bench::end(compared.iter().filter_map(|it| it.measured.as_ref().ok()).map(|(_, result)| result))
}
