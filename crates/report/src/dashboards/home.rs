//! The first page: what is here, which runs there are, and what goes on now.

use pumphandle_core::catalogue::RunMetric;
use serde_json::json;

use super::board::{self, Board};
use super::incident::sequence;
use super::panel::{Panel, fixed};
use super::query::{Arms, run};

/// How much of the past the list of runs looks at, and how finely: 40,000 looks a run.
const LIST: (&str, &str) = ("7d", "15s");

/// See the module.
pub(super) fn board() -> Board {
    let about = "What is here, how to read it, and which runs there are.";
    Board::new("home", "Pumphandle: home", about).with(vec![
        Panel::text("What is here", "What these dashboards are, and the order to read them in.", &welcome())
            .size(24, 9),
        list_of_runs(),
        sequence(),
        good_answers(),
        settled(),
    ])
}

fn welcome() -> String {
    // With what is chosen here: run, arms, time.
    let to = |name: &str| {
        format!(
            "/d/{}?${{datasource:queryparam}}&${{run:queryparam}}&${{control:queryparam}}&${{treatment:queryparam}}\
             &${{__url_time_range}}",
            board::address(name)
        )
    };
    format!(
        "An incident is reproduced twice, with the same users at the same instants: once with nobody touching anything \
         (**control**, orange) and once with a lever (**treatment**, blue). What differs is the lever's doing.\n\n\
         1. [Incident]({}): what users got, in both, and what the lever was worth. Start here.\n\
         2. [Stocks and flows]({}): what accumulates where, and which flow is to blame.\n\
         3. [Mechanisms]({}): breakers, budgets, pools, limits: when each acts.\n\
         4. [Loops]({}): what keeps the incident going when its cause has gone.\n\
         5. [Rig health]({}): is this run to be believed?\n\n\
         Above, choose the run: `live` is what is being scraped; recorded ones are in the list below, whose links set the \
         time range too. The red region is the trigger, the blue line the pull of a lever.",
        to("incident"),
        to("stocks"),
        to("mechanisms"),
        to("loops"),
        to("rig"),
    )
}

fn list_of_runs() -> Panel {
    let (span, step) = LIST;
    let info = run(RunMetric::RunInfo).of_every_run();
    let by = "run, scenario, clock, seed";
    let when = |which: &str| {
        format!("1000 * {which} by ({by}) ({which}_over_time(timestamp({info})[$__range:{step}]))")
    };
    let link = format!(
        "/d/{}?${{datasource:queryparam}}&var-run=${{__data.fields.Run}}\
         &from=${{__data.fields.Begins.numeric}}&to=${{__data.fields.Ends.numeric}}",
        board::address("incident")
    );
    let about = "Runs of the last week (of the chosen time range, if that is not one up to now). Click one to open it, with \
                 its time range.";
    Panel::table("Runs", "string", about)
        .at_end("begins", &when("min"), "")
        .at_end("ends", &when("max"), "")
        .then("merge", json!({}))
        .then(
            "organize",
            json!({
                "excludeByName": { "Time": true },
                "indexByName": {
                    "run": 0, "scenario": 1, "clock": 2, "seed": 3, "Value #begins": 4, "Value #ends": 5,
                },
                "renameByName": {
                    "run": "Run", "scenario": "Scenario", "clock": "Clock", "seed": "First seed",
                    "Value #begins": "Begins", "Value #ends": "Ends",
                },
            }),
        )
        .then("sortBy", json!({ "fields": {}, "sort": [{ "field": "Begins", "desc": true }] }))
        .field("Run", &[("links", json!([{ "title": "Open ${__value.text}", "url": link }]))])
        .where_name("/^(Begins|Ends)$/", &[("unit", json!("dateTimeAsIso"))])
        .over(span)
        .size(24, 7)
        .when_empty("no runs: start the live stack, or load one with pumphandle load")
}

fn good_answers() -> Panel {
    let about = "Correct answers per second that came in time. The picture in one panel: does orange stay down, does blue \
                 come back?";
    Panel::lines("Good answers", "reqps", about).twin("{{arm}}", |arms| {
        run(RunMetric::UsersSettled).of(arms).with("outcome", "=", "good").per_second(&["arm"])
    })
}

fn settled() -> Panel {
    let about = "Users due per second (dashed), and users who got something, whatever it was. Where fewer are settled than \
                 are due, they are piling up.";
    Panel::lines("Users settled", "reqps", about)
        .twin("{{arm}}", |arms| run(RunMetric::UsersSettled).of(arms).per_second(&["arm"]))
        .query("due", &run(RunMetric::UsersDue).of(Arms::Control).per_second(&[]), "users due")
        .where_query(
            "due",
            &[("color", fixed("text")), ("custom.lineStyle", json!({ "dash": [8, 8], "fill": "dash" }))],
        )
}
