//! The account of every stock, second by second: what is inside is what was inside at the start, plus all who
//! entered, minus all who left. It holds the *rows* to that, which are what reports draw and what loops are
//! measured by; that the meters themselves agree with Little's law is compared at the end of a run
//! ([`conduct`](crate::run::conduct)). It repairs nothing: a run whose account does not add up is not valid.

use pumphandle_core::meter::StockName;
use pumphandle_stack::ServiceSettings;

use crate::run::rows::Row;

/// What a service has at the start. Everything else is empty then.
#[derive(Clone, Copy, Debug)]
pub struct AtStart<'a> {
    /// The service's name.
    pub name: &'a str,
    /// Its replicas, which are ready.
    pub replicas: u64,
    /// Entries of the caches of all of them.
    pub entries: u64,
    /// KiB that all of them need to do nothing.
    pub memory_kib: u64,
}

impl<'a> AtStart<'a> {
    /// Of a service with these settings, where requests are of `classes` classes.
    pub fn of(name: &'a str, settings: &ServiceSettings, classes: usize) -> AtStart<'a> {
        let replicas = u64::from(settings.replicas);
        let warmed = settings.cache.as_ref().map_or(0, |cache| cache.warmed(classes) as u64);
        let needed = settings.memory.map_or(0, |memory| memory.base.kib());
        AtStart { name, replicas, entries: replicas * warmed, memory_kib: replicas * needed }
    }
}

/// Stocks whose account does not add up, each with the first second at whose end it does not, in words.
/// `services` are in the order of a row.
pub fn wrong<'a>(services: impl Iterator<Item = AtStart<'a>>, rows: &[Vec<Row>]) -> Vec<String> {
    let of_service =
        |(i, AtStart { name, replicas, entries, memory_kib }): (usize, AtStart<'_>)| -> Vec<String> {
            let start = |stock| match stock {
                StockName::Ready => replicas,
                StockName::CacheEntries => entries,
                StockName::Memory => memory_kib,
                _ => 0,
            };
            StockName::ALL.iter().filter_map(|&stock| of_stock(name, i, stock, start(stock), rows)).collect()
        };
    services.enumerate().flat_map(of_service).collect()
}

fn of_stock(service: &str, i: usize, stock: StockName, start: u64, rows: &[Vec<Row>]) -> Option<String> {
    let (mut entered, mut left) = (start, 0_u64);
    rows.iter().enumerate().find_map(|(second, row)| {
        let account = row.get(i)?.stock(stock);
        entered += u64::from(account.inflow);
        left += u64::from(account.outflow);
        let adds_up = u64::from(account.level) + left == entered;
        (!adds_up).then(|| {
            format!(
                "{service}.{} holds {} at {} s, where {entered} have entered and {left} have left",
                stock.name(),
                account.level,
                second + 1,
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Style;
    use crate::measure::Measured;
    use crate::plan;
    use crate::run::SeedRun;
    use crate::run::virtual_clock::{Job, run_one};
    use crate::scenario::{Scenario, overrides, read};

    fn storm() -> Scenario {
        let text = include_str!("../../../scenarios/retry-storm.yaml");
        let mut scenario =
            read::read("retry-storm.yaml", text, Style::Plain).expect("it can be read").scenario;
        for change in
            ["duration=12s", "pull=8s", "timeline.slow-queries.from=3s", "timeline.slow-queries.for=3s"]
        {
            overrides::apply(&mut scenario, change).expect("it can be changed like that");
        }
        scenario
    }

    fn run(scenario: &Scenario) -> SeedRun {
        let arm = plan::control(scenario);
        run_one(scenario, &Job { arm: &arm, seed: 1, keep_events: false }).expect("it does not stall")
    }

    #[test]
    fn every_second_of_a_storm_adds_up_and_a_single_lost_entry_is_told_with_its_second() {
        let scenario = storm();
        let mut rows = run(&scenario).rows;
        let names = || scenario.services.iter().map(|(name, it)| AtStart::of(name, it, 0));
        assert_eq!(wrong(names(), &rows), Vec::<String>::new());
        assert!(
            rows.iter().any(|row| row[1].stock(StockName::Queue).level > 100),
            "there is something in it"
        );
        let queue = &mut rows[4][1].stocks[StockName::Queue as usize];
        queue.inflow -= 1;
        let (level, found) = (queue.level, wrong(names(), &rows));
        let [only] = found.as_slice() else { panic!("one stock: {found:?}") };
        assert!(only.starts_with(&format!("api.queue holds {level} at 5 s, where ")), "{only}");
    }

    #[test]
    fn what_was_lost_and_found_again_is_wrong_in_between() {
        let scenario = storm();
        let mut rows = run(&scenario).rows;
        rows[6][2].stocks[StockName::Inside as usize].level += 1;
        let names = scenario.services.iter().map(|(name, it)| AtStart::of(name, it, 0));
        let found = wrong(names, &rows);
        assert!(found[0].starts_with("db.inside holds ") && found[0].contains(" at 7 s"), "{found:?}");
    }

    #[test]
    fn a_run_whose_account_does_not_add_up_is_not_valid_and_says_why() {
        let scenario = storm();
        let mut measured = Measured::new(&scenario, vec![plan::control(&scenario)], false);
        let mut lossy = run(&scenario);
        lossy.rows[4][1].stocks[StockName::Queue as usize].outflow += 1;
        let names = scenario.services.iter().map(|(name, it)| AtStart::of(name, it, 0));
        lossy.wrong_accounts = wrong(names, &lossy.rows);
        measured.add_seed(&scenario, 1, vec![lossy]);
        assert!(!measured.valid(0));
        let reasons = measured.arms[0].reasons.join("\n");
        assert!(reasons.contains("the accounts of a stock do not add up: api.queue holds "), "{reasons}");
    }
}
