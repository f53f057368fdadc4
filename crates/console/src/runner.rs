//! The port of a runner: what it does and sees, on one page for people and as JSON and metrics for others; start
//! and stop; and hands on its stacks. It translates between HTTP and the [`Runner`]; who may change anything is
//! the [`Guard`]'s affair.

use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use pumphandle_core::Dur;
use pumphandle_core::time::{self, Order};
use pumphandle_experiment::live::Refused;
use pumphandle_experiment::plan;
use pumphandle_experiment::runner::{Runner, Wanted};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::control::{self, body, fields, json as answer_json, of_desk, refused, who};
use crate::guard::{Guard, Refusal};
use crate::hands::{self, Changes, Undone};
use crate::http::{self as page, Answer};
use crate::lookout::{Lookout, Ports};
use crate::remote::RemoteStack;
use crate::run_page;
use crate::server::TEXT_FORMAT;
use crate::state;

const PATHS: &str = "here are /, /healthz, /metrics, /series, and to be posted /start, /stop, /trigger, /calm, \
                     /pull, /unpull, /set, /reset\n";

/// A link that is shown on the page.
#[derive(Clone, Debug)]
pub struct Link {
    /// What it is called.
    pub name: String,
    /// Where it leads: http or https.
    pub url: String,
}

/// Serves a runner's port until the runtime ends.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time enabled whose threads are on the real clock.
pub fn serve_runner(
    listener: TcpListener,
    runner: Arc<Runner>,
    stacks: Vec<Ports>,
    links: Vec<Link>,
    guard: Guard,
) {
    let lookout = Arc::new(Lookout::new(stacks.clone(), &runner.setup().checked.scenario));
    tokio::spawn(Arc::clone(&lookout).look(Arc::clone(runner.board())));
    let door = Arc::new(Door { runner, lookout, stacks, links, guard });
    tokio::spawn(page::serve(listener, move |request, peer| {
        let door = Arc::clone(&door);
        async move {
            let answered = door.answer(request, peer).await;
            answered.unwrap_or_else(|(status, sentence)| refused(status, &sentence, &[]))
        }
    }));
}

struct Door {
    runner: Arc<Runner>,
    lookout: Arc<Lookout>,
    stacks: Vec<Ports>,
    links: Vec<Link>,
    guard: Guard,
}

/// Something to do by hand.
#[derive(Clone, Debug)]
enum Hand {
    Trigger(String, Option<Dur>),
    Calm(Option<String>),
    Pull(String),
    Unpull(String),
    Set(Changes),
    Reset(Option<u64>),
}

impl Hand {
    fn words(&self) -> String {
        match self {
            Hand::Trigger(name, None) => format!("trigger {name}"),
            Hand::Trigger(name, Some(lasts)) => format!("trigger {name} for {lasts}"),
            Hand::Calm(None) => "calm".to_owned(),
            Hand::Calm(Some(name)) => format!("calm {name}"),
            Hand::Pull(name) => format!("pull {name}"),
            Hand::Unpull(name) => format!("unpull {name}"),
            Hand::Set(changes) => {
                format!("set {}", changes.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            Hand::Reset(_) => "reset".to_owned(),
        }
    }
}

impl Door {
    async fn answer(
        self: &Arc<Door>,
        request: Request<Incoming>,
        peer: std::net::SocketAddr,
    ) -> Result<Answer, Refusal> {
        self.guard.may_read(request.headers())?;
        let path = request.uri().path().to_owned();
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        let allowed = match path.as_str() {
            "/" | "/healthz" | "/metrics" | "/series" => "GET, HEAD",
            "/start" | "/stop" | "/trigger" | "/calm" | "/pull" | "/unpull" | "/set" | "/reset" => "POST",
            _ => return Ok(page::text(StatusCode::NOT_FOUND, PATHS)),
        };
        if !allowed.split(", ").any(|method| method == request.method().as_str()) {
            return Ok(page::not_allowed(allowed));
        }
        if reads {
            let from = from(request.uri().query());
            return Ok(self.read(&path, from, wants_a_page(request.headers())));
        }
        self.guard.may_change_here(request.headers())?;
        let who = who(request.headers(), peer);
        let body = body(request).await?;
        match path.as_str() {
            "/start" => {
                let wanted = wanted(&body)?;
                Ok(match self.runner.start(&wanted, &who) {
                    Ok((lever, seed)) => {
                        answer_json(StatusCode::OK, &json!({ "lever": lever, "seed": seed }))
                    }
                    Err(refusal) => of_runner(&refusal),
                })
            }
            "/stop" => {
                fields(&body, &[])?;
                Ok(answer_json(StatusCode::OK, &json!({ "stops": self.runner.stop(&who) })))
            }
            _ => {
                let (arms, hand) = self.hand(&path, &body)?;
                self.lay_hands(&arms, &hand, &who).await
            }
        }
    }

    fn read(&self, path: &str, from: usize, for_a_person: bool) -> Answer {
        let board = self.runner.board();
        match path {
            "/healthz" => page::text(StatusCode::OK, "ok\n"),
            "/metrics" => page::answer(StatusCode::OK, TEXT_FORMAT, run_page::render(&board.read())),
            "/series" => answer_json(StatusCode::OK, &board.series(from)),
            _ if for_a_person => state::page(),
            _ => {
                let known = self.runner.known();
                let mut all = state::of(&self.runner, &known, &board.read(), &self.lookout);
                all["links"] =
                    self.links.iter().map(|it| json!({ "name": it.name, "url": it.url })).collect();
                all["token"] = Value::from(self.guard.needs_token());
                answer_json(StatusCode::OK, &all)
            }
        }
    }

    /// Which stacks a request means, and what is to be done there.
    fn hand(&self, path: &str, body: &[u8]) -> Result<(Vec<usize>, Hand), Refusal> {
        let mut known = vec!["arm"];
        known.extend(match path {
            "/trigger" => &["trigger", "for"][..],
            "/calm" => &["trigger"],
            "/pull" | "/unpull" => &["lever"],
            "/set" => &["set"],
            _ => &["seed"],
        });
        let fields = fields(body, &known)?;
        let name = |field: &str| {
            let missing = || (StatusCode::BAD_REQUEST, format!("`{field}` is missing"));
            text(&fields, field)?.ok_or_else(missing)
        };
        let hand = match path {
            "/trigger" => Hand::Trigger(name("trigger")?, duration(&fields, "for")?),
            "/calm" => Hand::Calm(text(&fields, "trigger")?),
            "/pull" => Hand::Pull(name("lever")?),
            "/unpull" => Hand::Unpull(name("lever")?),
            "/set" => match fields.get("set") {
                Some(Value::Object(set)) if !set.is_empty() => {
                    Hand::Set(set.iter().map(|(path, value)| (path.clone(), value.clone())).collect())
                }
                _ => {
                    let sentence = "`set`: write { \"api.workers\": 20 }".to_owned();
                    return Err((StatusCode::BAD_REQUEST, sentence));
                }
            },
            _ => Hand::Reset(whole(&fields, "seed")?),
        };
        let arms = match text(&fields, "arm")? {
            Some(arm) => {
                let found = self.stacks.iter().position(|stack| stack.stack == arm);
                let known = self.stacks.iter().map(|stack| stack.stack.as_str());
                let sentence =
                    || (StatusCode::UNPROCESSABLE_ENTITY, plan::unknown("arm", &control::short(&arm), known));
                vec![found.ok_or_else(sentence)?]
            }
            // What comes from outside comes to all; what is done about it, somebody does somewhere.
            None if matches!(hand, Hand::Trigger(..) | Hand::Calm(_) | Hand::Reset(_)) => {
                (0..self.stacks.len()).collect()
            }
            None => return Err((StatusCode::BAD_REQUEST, "`arm` is missing: which stack".to_owned())),
        };
        Ok((arms, hand))
    }

    async fn lay_hands(self: &Arc<Door>, arms: &[usize], hand: &Hand, who: &str) -> Result<Answer, Refusal> {
        let mut told = Map::new();
        for &arm in arms {
            let mut sentences = Vec::new();
            let done = self.lay_hand(arm, hand, who, &mut |sentence| sentences.push(sentence)).await;
            let name = &self.stacks[arm].stack;
            if done.is_ok() || !sentences.is_empty() {
                let words = hand.words();
                self.runner.board().mark(arm, format!("by hand: {words}"));
                self.runner.note(&format!("{name}: {words}"), who);
            }
            done.map_err(|undone| refusal_of(name, &undone))?;
            told.insert(name.clone(), json!(sentences));
        }
        Ok(answer_json(StatusCode::OK, &json!({ "done": told })))
    }

    async fn lay_hand(
        self: &Arc<Door>,
        arm: usize,
        hand: &Hand,
        who: &str,
        say: hands::Say<'_>,
    ) -> Result<(), Undone> {
        let scenario = &self.runner.setup().checked.scenario;
        let services: Vec<String> = scenario.services.keys().cloned().collect();
        let found = RemoteStack::find(self.stacks[arm].ports.clone(), &services).await;
        let stack = found.map_err(|wrong| {
            let failure = crate::client::Failure::Unreachable(wrong.join("; "));
            Undone::By("the stack is not whole".to_owned(), failure)
        })?;
        match hand {
            Hand::Trigger(name, lasts) => hands::trigger(&stack, scenario, name, *lasts, say).await,
            Hand::Calm(trigger) => hands::calm(&stack, scenario, trigger.as_deref(), say).await,
            Hand::Pull(name) => {
                let steps = plan::steps(hands::lever(scenario, name)?);
                hands::step(&stack, scenario, &steps[0], say).await?;
                self.lookout.pulled(arm, name);
                if let Some(next) = steps.get(1) {
                    say(format!("the next step follows in {}", Dur(next.after)));
                    self.go_on(arm, name.clone(), stack, who.to_owned());
                }
                Ok(())
            }
            Hand::Unpull(name) => {
                self.lookout.forget(arm);
                hands::unpull(&stack, scenario, name, say).await
            }
            Hand::Set(changes) => hands::set(&stack, scenario, changes, say).await,
            Hand::Reset(seed) => {
                self.lookout.forget(arm);
                hands::reset(&stack, scenario, *seed, say).await
            }
        }
    }

    /// The later steps of a lever, unless the stack is put back before their time.
    fn go_on(self: &Arc<Door>, arm: usize, name: String, stack: RemoteStack, who: String) {
        let door = Arc::clone(self);
        let turn = self.lookout.turn(arm);
        time::spawn("the later steps of a lever", async move {
            let scenario = &door.runner.setup().checked.scenario;
            let mut passed = Duration::ZERO;
            for (i, step) in plan::steps(&scenario.levers[&name]).iter().enumerate().skip(1) {
                time::sleep(step.after.saturating_sub(passed), Order::timeline(0)).await;
                passed = step.after;
                if door.lookout.turn(arm) != turn {
                    return;
                }
                let done = hands::step(&stack, scenario, step, &mut |_| {}).await;
                let end = done.map_or_else(|undone| format!(": {undone}"), |()| String::new());
                let what = format!("{}: {name}, step {}{end}", door.stacks[arm].stack, i + 1);
                door.runner.note(&what, &who);
            }
        });
    }
}

/// Since which second a series is asked for.
fn from(query: Option<&str>) -> usize {
    let all = query.unwrap_or_default().split('&');
    all.filter_map(|pair| pair.strip_prefix("from=")).find_map(|from| from.parse().ok()).unwrap_or(0)
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn wrong(field: &str, message: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, format!("`{field}`: {message}"))
}

fn text(fields: &Map<String, Value>, field: &str) -> Result<Option<String>, Refusal> {
    match fields.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(field, "expected text")),
    }
}

fn whole(fields: &Map<String, Value>, field: &str) -> Result<Option<u64>, Refusal> {
    let number = |value: &Value| value.as_u64().ok_or_else(|| wrong(field, "expected a whole number from 0"));
    fields.get(field).map(number).transpose()
}

fn duration(fields: &Map<String, Value>, field: &str) -> Result<Option<Dur>, Refusal> {
    let text = text(fields, field)?;
    text.map(|text| Dur::parse(&text).map_err(|message| wrong(field, &message))).transpose()
}

/// The body of a start.
fn wanted(body: &[u8]) -> Result<Wanted, Refusal> {
    let fields = fields(body, &["lever", "seed", "duration", "pull"])?;
    Ok(Wanted {
        lever: text(&fields, "lever")?,
        seed: whole(&fields, "seed")?,
        duration: duration(&fields, "duration")?,
        pull: duration(&fields, "pull")?,
    })
}

fn of_runner(refusal: &Refused) -> Answer {
    match refusal {
        Refused::Wrong(problems) => {
            let problems: Vec<Value> = problems.iter().map(|told| json!(told)).collect();
            refused(StatusCode::UNPROCESSABLE_ENTITY, "nothing was started", &problems)
        }
        other => of_desk(other),
    }
}

/// What a hand could not do, as a status: what makes no sense is the asker's, a service that is not there is not.
fn refusal_of(stack: &str, undone: &Undone) -> Refusal {
    use crate::client::Failure::{Refused, Unreachable};
    let status = match undone {
        Undone::Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Undone::By(_, Refused(409, _)) => StatusCode::CONFLICT,
        Undone::By(_, Refused(422, _)) => StatusCode::UNPROCESSABLE_ENTITY,
        Undone::By(_, Refused(..) | Unreachable(_)) => StatusCode::BAD_GATEWAY,
    };
    (status, format!("{stack}: {undone}"))
}
