//! A stack of services in processes of their own, by their admin ports: found, read, and asked for changes.
//! What an experiment does with it is `experiment`'s affair.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};

use http::Method;
use pumphandle_core::meter::Snapshot;
use pumphandle_experiment::document::clean;
use pumphandle_experiment::run::remote::{About, Controls, Doing, Wish};
use serde_json::{Value, json};

use crate::Token;
use crate::client::{Admin, Failure};

/// See the module.
#[derive(Debug)]
pub struct RemoteStack {
    entry: String,
    ports: BTreeMap<String, Admin>,
}

/// A rule for where services are found has one of these in it: the service's name, or its place in the scenario,
/// counted from 1. Places serve where hosts have names before anybody knows the scenario.
const MARKS: [&str; 2] = ["{service}", "{place}"];

/// Whether `text` is a rule for all services, and no address.
pub fn is_rule(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}

/// Where `rule` finds the service that is the `index`-th of its scenario, counted from 0.
pub fn by_rule(rule: &str, index: usize, service: &str) -> String {
    rule.replace(MARKS[0], service).replace(MARKS[1], &(index + 1).to_string())
}

/// The admin ports that `urls` names: a rule with `{service}` or `{place}` for every one of `services`, or a list
/// separated by commas.
///
/// # Errors
///
/// A sentence.
pub fn ports(
    urls: &str,
    services: &[String],
    token: Option<&Token>,
    who: &str,
) -> Result<Vec<Admin>, String> {
    let at = |url: &str| Admin::at(url, token.cloned(), who);
    if is_rule(urls) {
        if services.is_empty() {
            return Err(format!("`{urls}` is a rule: which services there are has to be known"));
        }
        return services.iter().enumerate().map(|(i, service)| at(&by_rule(urls, i, service))).collect();
    }
    urls.split(',').map(|url| at(url.trim())).collect()
}

impl RemoteStack {
    /// The stack whose admin ports are `ports`: all of `services`, each once.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, in sentences.
    pub async fn find(ports: Vec<Admin>, services: &[String]) -> Result<RemoteStack, Vec<String>> {
        let mut wrong = Vec::new();
        let mut entry = None;
        let mut found: BTreeMap<String, Admin> = BTreeMap::new();
        for port in ports {
            let about = match port.get("/").await {
                Ok(about) => about,
                Err(failure) => {
                    wrong.push(failure.to_string());
                    continue;
                }
            };
            let service = about["service"].as_str().unwrap_or_default().to_owned();
            if !services.contains(&service) {
                wrong.push(format!("{}: it serves none of {}", port.authority(), services.join(", ")));
                continue;
            }
            if services.first() == Some(&service) {
                entry = about["data"].as_str().and_then(|data| reachable(data, port.host()));
            }
            match found.entry(service) {
                Entry::Vacant(place) => {
                    place.insert(port);
                }
                Entry::Occupied(place) => {
                    wrong.push(format!("{}: `{}` is there twice", port.authority(), place.key()));
                }
            }
        }
        if wrong.is_empty() {
            let missing = services.iter().filter(|service| !found.contains_key(service.as_str()));
            wrong.extend(missing.map(|service| format!("`{service}` is missing")));
        }
        match entry {
            Some(entry) if wrong.is_empty() => Ok(RemoteStack { entry, ports: found }),
            None if wrong.is_empty() => {
                Err(vec!["the first service does not say where it takes calls".to_owned()])
            }
            _ => Err(wrong),
        }
    }

    /// The admin port of `service`.
    ///
    /// # Errors
    ///
    /// A sentence, if the stack has none.
    pub fn port(&self, service: &str) -> Result<&Admin, String> {
        self.ports.get(service).ok_or_else(|| format!("the stack has no service `{service}`"))
    }
}

/// Where others find what listens at `data`, when its admin port is found at `host`.
fn reachable(data: &str, host: &str) -> Option<String> {
    let address: SocketAddr = data.parse().ok()?;
    let everywhere = match address.ip() {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    Some(if everywhere { format!("{host}:{}", address.port()) } else { data.to_owned() })
}

/// How a wish is said to an admin port.
pub(crate) fn request(wish: &Wish) -> (Method, &'static str, Value) {
    match wish {
        Wish::Set(set) => (Method::PATCH, "/settings", json!(set)),
        Wish::Begin(trigger) => (Method::POST, "/disturb", trigger.clone()),
        Wish::End(trigger) => (Method::POST, "/calm", json!({ "trigger": trigger })),
        Wish::Restart(down) => (Method::POST, "/restart", json!({ "down": down })),
        Wish::Kill(older_than) => (Method::POST, "/kill", json!({ "older_than": older_than })),
        Wish::Reset(seed) => (Method::POST, "/reset", json!({ "seed": seed })),
    }
}

impl Controls for RemoteStack {
    fn entry(&self) -> &str {
        &self.entry
    }

    fn read<'a>(&'a self, service: &'a str) -> Doing<'a, Snapshot> {
        Box::pin(async move {
            let page = self.port(service)?.metrics().await.map_err(sentence)?;
            match page.service == service {
                true => Ok(page.snapshot),
                false => Err(format!("`{}` answers in its place", clean(&page.service))),
            }
        })
    }

    fn about<'a>(&'a self, service: &'a str) -> Doing<'a, About> {
        Box::pin(async move {
            let port = self.port(service)?;
            let about = port.get("/").await.map_err(sentence)?;
            let mut settings = port.get("/settings").await.map_err(sentence)?;
            let words = |what: &str| -> Vec<String> {
                let all = about[what].as_array().into_iter().flatten();
                all.filter_map(|it| it.as_str().map(clean)).collect()
            };
            Ok(About {
                scenario_sha256: about["scenario_sha256"].as_str().unwrap_or_default().to_owned(),
                settings: settings.get_mut(service).map(Value::take).unwrap_or_default(),
                wrong_accounts: words("wrong_accounts"),
                machine_faults: about["machine_faults"].as_u64().unwrap_or(0),
                not_as_said: words("not_as_said"),
            })
        })
    }

    fn ask<'a>(&'a self, service: &'a str, wish: Wish) -> Doing<'a, ()> {
        Box::pin(async move {
            let (method, path, body) = request(&wish);
            self.port(service)?.change(method, path, &body).await.map(drop).map_err(sentence)
        })
    }
}

fn sentence(failure: Failure) -> String {
    failure.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_one_port_for_each_service_and_a_list_those_that_it_lists() {
        let services = ["client", "api"].map(str::to_owned);
        let of = |urls: &str| -> Result<Vec<String>, String> {
            Ok(ports(urls, &services, None, "test")?.iter().map(|port| port.authority().to_owned()).collect())
        };
        assert_eq!(of("http://control-{service}:9100").unwrap(), ["control-client:9100", "control-api:9100"]);
        assert_eq!(of("http://control-{place}:9100").unwrap(), ["control-1:9100", "control-2:9100"]);
        assert_eq!(of("127.0.0.1:1, http://127.0.0.1:2/").unwrap(), ["127.0.0.1:1", "127.0.0.1:2"]);
        for bad in ["", "x", "https://a:1", "http://a:0", "http://a:1/b", "http://a b:1", "a:1,", "http://:1"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(ports("http://{service}:1", &[], None, "test").is_err());
    }

    #[test]
    fn users_go_to_where_the_admin_port_was_found_unless_the_service_knows_better() {
        assert_eq!(reachable("0.0.0.0:7000", "control-client").as_deref(), Some("control-client:7000"));
        assert_eq!(reachable("[::]:7000", "10.0.0.1").as_deref(), Some("10.0.0.1:7000"));
        assert_eq!(reachable("127.0.0.1:7001", "localhost").as_deref(), Some("127.0.0.1:7001"));
        assert_eq!(reachable("nonsense", "localhost"), None);
    }
}
