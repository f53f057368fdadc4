//! Controllers of a number of replicas: what can be said of one, and what is wrong with what was said. The constants
//! that are taken where a file says nothing are those of the Horizontal Pod Autoscaler of Kubernetes; each field
//! says where they stand. How they are used is in [`scaling`](crate::scaling).
//!
//! It must not know how a number of replicas is changed, or when.

use indexmap::IndexMap;
use pumphandle_core::meter::StockName;
use pumphandle_core::{Dur, Share};
use pumphandle_stack::StackSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::paths::{Sentence, below, unknown};
use super::schema::part;
use crate::document::{Part, Path, Problem, Problems};

/// Controllers by name.
pub type Autoscalers = IndexMap<String, Autoscaler>;

/// The first word of the path of a controller's setting.
pub const PREFIX: &str = "autoscalers";

/// A controller of a service's number of replicas: the algorithm of the Horizontal Pod Autoscaler of Kubernetes, with
/// its constants where nothing is said (kube-controller-manager's options, and the defaults of `behavior` in
/// autoscaling/v2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Autoscaler {
    /// Whose replicas. Several controllers of one service each write what they want.
    pub service: String,
    /// On or off. On if absent.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// By how much processors are used: of what replicas ask for, in the mean. Not looked at if absent. Of several
    /// metrics the largest proposal counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<ByCpu>,
    /// By how many calls there are in a stock of the service. Not looked at if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<ByBacklog>,
    /// Never fewer replicas than this, from 1 to 1000. One if absent, as `minReplicas`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: u32,
    /// Never more replicas than this, from 1 to 1000: `maxReplicas`.
    #[schemars(range(min = 1, max = 1000))]
    pub max: u32,
    /// How often it decides, such as 15s, which it is if absent (`--horizontal-pod-autoscaler-sync-period`).
    #[serde(default = "sync", skip_serializing_if = "is_sync")]
    pub sync: Dur,
    /// How old what it knows of the metrics is. They are read every 15s and seen at once if absent.
    #[serde(default, skip_serializing_if = "Metrics::is_default")]
    pub metrics: Metrics,
    /// Nothing changes while the metric is within this share of the target: 10% if absent
    /// (`--horizontal-pod-autoscaler-tolerance`).
    #[serde(default = "tolerance", skip_serializing_if = "is_tolerance")]
    pub tolerance: Share,
    /// How fast it may go up. By 4 replicas or 100 % within 15 s, whichever is more, and at once, if absent (the
    /// default of `behavior.scaleUp`).
    #[serde(default = "Behaviour::up", skip_serializing_if = "Behaviour::is_up")]
    pub up: Behaviour,
    /// How fast it may go down. By 100 % within 15 s, to the highest of what was wanted in the last 300 s, if absent
    /// (`--horizontal-pod-autoscaler-downscale-stabilization`).
    #[serde(default = "Behaviour::down", skip_serializing_if = "Behaviour::is_down")]
    pub down: Behaviour,
    /// A replica that has never been ready, and became unready within this time of its start, is not looked at yet:
    /// 30s if absent (`--horizontal-pod-autoscaler-initial-readiness-delay`).
    #[serde(default = "readiness", skip_serializing_if = "is_readiness")]
    pub initial_readiness_delay: Dur,
    /// So long after a replica's start its processors are only looked at where it has been ready for a whole
    /// interval of the metric: 5m if absent (`--horizontal-pod-autoscaler-cpu-initialization-period`).
    #[serde(default = "initialization", skip_serializing_if = "is_initialization")]
    pub cpu_initialization_period: Dur,
}

/// A target for the use of processors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByCpu {
    /// The mean use of processors that is wanted, as a share of what replicas ask for, such as 70%.
    pub target: Share,
}

/// A target for the calls in a stock, in the mean between two readings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByBacklog {
    /// Which stock of the service, by its name in `series.ndjson`. `queue` if absent.
    #[serde(default = "queue")]
    pub stock: String,
    /// How many calls in it are wanted for each replica, from 0.001 to 1000000.
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub per_replica: f64,
}

/// How old what it knows is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// How often metrics are read, such as 15s, which it is if absent (metrics-server's `--metric-resolution`). The
    /// use of processors is the mean between two readings: a replica that was not there at the earlier one has none.
    #[serde(default = "interval")]
    pub interval: Dur,
    /// How long a reading is on its way until the controller can see it. None if absent.
    #[serde(default)]
    pub lag: Dur,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics { interval: interval(), lag: Dur::default() }
    }
}

impl Metrics {
    fn is_default(&self) -> bool {
        *self == Metrics::default()
    }
}

/// How fast a number may change in one direction: `behavior` of autoscaling/v2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// So long every past proposal is remembered, and the most cautious one counts: upwards the lowest, downwards the
    /// highest, such as 300s; 0s is off. None if absent from what is written.
    #[serde(default)]
    pub stabilization: Dur,
    /// Which of the policies counts: the one that allows the larger change (`max`), the smaller one (`min`), or none
    /// at all (`disabled`: it never changes in this direction). The larger if absent.
    #[serde(default)]
    pub select: Select,
    /// Limits on the change. No limit if absent.
    #[serde(default)]
    pub policies: Vec<ScalingPolicy>,
}

/// Which policy counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The one that allows the larger change.
    #[default]
    Max,
    /// The one that allows the smaller change.
    Min,
    /// None: no change in this direction.
    Disabled,
}

/// A limit on a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScalingPolicy {
    /// At most by this many per cent of the replicas that there were at the start of the period, from 0 to 100000,
    /// such as 100. By `replicas` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub percent: Option<f64>,
    /// At most by this many replicas, from 1 to 1000. By `percent` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<u32>,
    /// Within this period, such as 15s.
    pub per: Dur,
}

const fn seconds(n: u64) -> Dur {
    Dur(std::time::Duration::from_secs(n))
}

impl Behaviour {
    fn up() -> Behaviour {
        let doubled = ScalingPolicy { percent: Some(100.0), replicas: None, per: seconds(15) };
        let four = ScalingPolicy { percent: None, replicas: Some(4), per: seconds(15) };
        Behaviour { stabilization: Dur::default(), select: Select::Max, policies: vec![four, doubled] }
    }

    fn down() -> Behaviour {
        let all = ScalingPolicy { percent: Some(100.0), replicas: None, per: seconds(15) };
        Behaviour { stabilization: seconds(300), select: Select::Max, policies: vec![all] }
    }

    fn is_up(&self) -> bool {
        *self == Behaviour::up()
    }

    fn is_down(&self) -> bool {
        *self == Behaviour::down()
    }
}

fn yes() -> bool {
    true
}
fn is_yes(it: &bool) -> bool {
    *it
}
fn one() -> u32 {
    1
}
fn is_one(it: &u32) -> bool {
    *it == 1
}
fn sync() -> Dur {
    seconds(15)
}
fn is_sync(it: &Dur) -> bool {
    *it == sync()
}
fn interval() -> Dur {
    seconds(15)
}
fn tolerance() -> Share {
    Share(0.1)
}
fn is_tolerance(it: &Share) -> bool {
    *it == tolerance()
}
fn readiness() -> Dur {
    seconds(30)
}
fn is_readiness(it: &Dur) -> bool {
    *it == readiness()
}
fn initialization() -> Dur {
    seconds(300)
}
fn is_initialization(it: &Dur) -> bool {
    *it == initialization()
}
fn queue() -> String {
    StockName::Queue.name().to_owned()
}

impl Autoscaler {
    /// What the shape alone does not refuse: places below it, and sentences.
    pub fn check(&self, services: &StackSettings) -> Vec<(String, Sentence)> {
        let mut wrong: Vec<(String, Sentence)> = Vec::new();
        let mut say = |at: &str, message: String| wrong.push((at.to_owned(), (message, None)));
        if self.min == 0 {
            say("min", "there is at least one replica".to_owned());
        }
        if self.min > self.max {
            say("min", format!("is above `max`, which is {}", self.max));
        }
        for (at, dur) in [("sync", self.sync), ("metrics.interval", self.metrics.interval)] {
            if dur.0 < std::time::Duration::from_millis(100) {
                say(at, "is at least 100ms".to_owned());
            }
        }
        if self.cpu.is_none() && self.backlog.is_none() {
            say("", "by what does it decide? add `cpu` or `backlog`".to_owned());
        }
        if self.cpu.is_some_and(|cpu| cpu.target.0 < 0.01) {
            say("cpu.target", "is at least 1%".to_owned());
        }
        for (direction, behaviour) in [("up", &self.up), ("down", &self.down)] {
            for (i, policy) in behaviour.policies.iter().enumerate() {
                let at = format!("{direction}.policies[{i}]");
                if policy.percent.is_some() == policy.replicas.is_some() {
                    say(&at, "a policy says either `percent` or `replicas`".to_owned());
                }
                if policy.per.0.is_zero() {
                    say(&format!("{at}.per"), "a period is longer than 0s".to_owned());
                }
            }
        }
        let Some(service) = services.get(&self.service) else {
            let sentence = unknown("service", &self.service, services.keys().map(String::as_str));
            wrong.push(("service".to_owned(), sentence));
            return wrong;
        };
        if self.cpu.is_some() && service.cpu.is_none() {
            let message = format!("`{}` does not say what processors it asks for", self.service);
            let help = format!("give services.{} a `cpu: {{ requested: 1 }}`", self.service);
            wrong.push(("cpu".to_owned(), (message, Some(help))));
        }
        if let Some(backlog) = &self.backlog
            && StockName::from_name(&backlog.stock).is_none()
        {
            let known = StockName::ALL.iter().map(|stock| stock.name());
            wrong.push(("backlog.stock".to_owned(), unknown("stock", &backlog.stock, known)));
        }
        wrong
    }
}

/// Everything wrong with the controllers of a scenario.
pub(super) fn check(all: &Autoscalers, services: &StackSettings, problems: &mut Problems) {
    for (name, autoscaler) in all {
        let at = Path::from([PREFIX, name]);
        for (place, (message, help)) in autoscaler.check(services) {
            let part = if place.is_empty() { Part::Key } else { Part::Value };
            problems.push(Problem { path: below(at.clone(), &place), part, span: None, message, help });
        }
    }
}

/// Whether `path` is that of a controller's setting.
pub fn is_path(path: &str) -> bool {
    path.split('.').next() == Some(PREFIX)
}

/// Puts every value at its path, all at once, and returns the controllers they belong to. `changes` stand at `place`
/// of a document; only those are looked at whose path is one of a controller.
///
/// # Errors
///
/// Problems whose paths start with the changed path as one key. `all` is unchanged then.
pub fn set_all_of(
    all: &mut Autoscalers,
    services: &StackSettings,
    changes: &IndexMap<String, Value>,
    place: &Path,
) -> Result<Vec<String>, Problems> {
    let mut problems = Problems::new();
    let mut trees: IndexMap<String, (Value, &String)> = IndexMap::new();
    for (path, value) in changes.iter().filter(|(path, _)| is_path(path)) {
        let mut refuse = |(message, help): Sentence| {
            problems.push(Problem { path: place.join(path), part: Part::Key, span: None, message, help });
        };
        let mut segments = path.split('.').skip(1);
        let name = segments.next().unwrap_or_default();
        let Some(now) = all.get(name) else {
            refuse(unknown("autoscaler", name, all.keys().map(String::as_str)));
            continue;
        };
        let tree = || (serde_json::to_value(now).expect("settings are plain data"), path);
        let fields: Vec<&str> = segments.collect();
        let tree = trees.entry(name.to_owned()).or_insert_with(tree);
        if let Err(sentence) = put(&mut tree.0, &fields, value, path) {
            refuse(sentence);
        }
    }
    problems.into_result()?;
    let mut problems = Problems::new();
    let mut changed: Autoscalers = IndexMap::new();
    for (name, (tree, path)) in trees {
        match read(tree, services) {
            Ok(autoscaler) => drop(changed.insert(name, autoscaler)),
            Err(wrong) => {
                for (at, (message, help)) in wrong {
                    let message = if at.is_empty() { message } else { format!("`{at}`: {message}") };
                    let path = place.join(path);
                    problems.push(Problem { path, part: Part::Value, span: None, message, help });
                }
            }
        }
    }
    problems.into_result()?;
    let names = changed.keys().cloned().collect();
    all.extend(changed);
    Ok(names)
}

/// A controller from its tree, or all that is wrong with it.
fn read(tree: Value, services: &StackSettings) -> Result<Autoscaler, Vec<(String, Sentence)>> {
    let autoscaler: Autoscaler = part(tree, "Autoscaler")?;
    let wrong = autoscaler.check(services);
    if wrong.is_empty() { Ok(autoscaler) } else { Err(wrong) }
}

/// The fields that files may leave out although something holds then.
const WITH_DEFAULTS: [&str; 9] = [
    "enabled",
    "min",
    "sync",
    "metrics",
    "tolerance",
    "up",
    "down",
    "initial_readiness_delay",
    "cpu_initialization_period",
];

/// What holds where a file leaves a field out; null where nothing does.
fn default_of(field: &str) -> Value {
    match field {
        "enabled" => serde_json::to_value(yes()),
        "min" => serde_json::to_value(one()),
        "sync" => serde_json::to_value(sync()),
        "tolerance" => serde_json::to_value(tolerance()),
        "initial_readiness_delay" => serde_json::to_value(readiness()),
        "cpu_initialization_period" => serde_json::to_value(initialization()),
        "metrics" => serde_json::to_value(Metrics::default()),
        "up" => serde_json::to_value(Behaviour::up()),
        "down" => serde_json::to_value(Behaviour::down()),
        _ => Ok(Value::Null),
    }
    .expect("settings are plain data")
}

fn put(tree: &mut Value, fields: &[&str], value: &Value, path: &str) -> Result<(), Sentence> {
    let Some((last, parents)) = fields.split_last() else {
        let help = format!("name one of its settings, such as {path}.max");
        return Err((format!("`{path}` is a whole autoscaler"), Some(help)));
    };
    let mut at = tree;
    for (depth, field) in parents.iter().enumerate() {
        let inner = at.as_object_mut().filter(|_| !field.is_empty());
        let Some(fields) = inner else {
            return Err((format!("`{path}` goes on below a plain value"), None));
        };
        if depth == 0 && !fields.contains_key(*field) && !default_of(field).is_null() {
            fields.insert((*field).to_owned(), default_of(field));
        }
        at = fields.get_mut(*field).ok_or_else(|| {
            let help = format!("set it as a whole: {PREFIX}.NAME.{field}: {{ … }}");
            (format!("there is no `{field}` here yet of which `{last}` could change"), Some(help))
        })?;
    }
    let fields = at.as_object_mut();
    let fields = fields.ok_or_else(|| (format!("`{path}` goes on below a plain value"), None))?;
    fields.insert((*last).to_owned(), value.clone());
    Ok(())
}

/// The value at `path`, in words; `-` where there is none.
pub fn show(all: &Autoscalers, path: &str) -> String {
    let mut segments = path.split('.').skip(1);
    let Some(autoscaler) = segments.next().and_then(|name| all.get(name)) else { return "-".to_owned() };
    let mut tree = serde_json::to_value(autoscaler).expect("settings are plain data");
    for field in WITH_DEFAULTS {
        let fields = tree.as_object_mut().expect("settings are an object");
        fields.entry(field).or_insert_with(|| default_of(field));
    }
    segments.try_fold(&tree, |at, field| at.get(field)).map_or("-".to_owned(), super::paths::words)
}
