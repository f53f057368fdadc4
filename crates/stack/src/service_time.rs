//! How much work a call is: a distribution of the time it would take alone, on an undisturbed machine.
//! Every variate comes from keyed draws by inversion, so twins draw the same work for the same call.

use pumphandle_core::draws::{Draws, Path, Stream, exponential, normal};
use pumphandle_core::{Dur, Share};
use pumphandle_policy::Wrong;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A distribution of service times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTime {
    /// Always the same: a duration such as 50ms.
    Constant(Dur),
    /// Exponential with this mean, such as 50ms.
    Exponential(Dur),
    /// Log-normal, by its median and the standard deviation of its logarithm.
    LogNormal(LogNormal),
    /// One of several kinds of work, by share. Shares add up to 1.
    Mixture(Vec<Part>),
    /// The sum of several times, drawn independently.
    Sum(Vec<ServiceTime>),
}

/// Parameters of a log-normal distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogNormal {
    /// Half of the times are below this, such as 20ms.
    pub median: Dur,
    /// Standard deviation of the logarithm, from 0 (always the median) to 4; 1 is a long tail.
    #[schemars(range(min = 0.0, max = 4.0))]
    pub sigma: f64,
}

/// One kind of work in a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How much of all work is of this kind, such as 5%.
    pub share: Share,
    /// How long work of this kind takes: a distribution of its own.
    pub takes: ServiceTime,
}

impl ServiceTime {
    /// What the shape alone does not refuse.
    pub fn check(&self) -> Vec<Wrong> {
        match self {
            ServiceTime::Constant(_) | ServiceTime::Exponential(_) => Vec::new(),
            ServiceTime::LogNormal(LogNormal { sigma, .. }) => {
                let wrong = !(0.0..=4.0).contains(sigma);
                let message = "sigma lies between 0 and 4";
                wrong.then(|| Wrong::at("log_normal.sigma", message)).into_iter().collect()
            }
            ServiceTime::Mixture(parts) => {
                let total: f64 = parts.iter().map(|part| part.share.0).sum();
                let mut wrong: Vec<Wrong> =
                    nested(parts.iter().map(|part| &part.takes), |i| format!("mixture[{i}].takes"));
                if (total - 1.0).abs() > 1e-9 {
                    // Sums of decimal fractions are off in the last digits, which say nothing to a reader.
                    let total = (total * 1e6).round() / 1e6;
                    let message = format!("the shares of a mixture add up to 1, these to {total}");
                    wrong.push(Wrong::at("mixture", message));
                }
                wrong
            }
            ServiceTime::Sum(parts) => nested(parts.iter(), |i| format!("sum[{i}]")),
        }
    }

    /// The work of the call at `path` in service `subject`, in nanoseconds.
    pub fn draw(&self, draws: &Draws, subject: u64, path: Path) -> f64 {
        match self {
            ServiceTime::Constant(dur) => dur.0.as_nanos() as f64,
            ServiceTime::Sum(parts) => {
                (0_u32..).zip(parts).map(|(i, part)| part.draw(draws, subject, path.call(i))).sum()
            }
            random => random.quantile(draws.uniform(Stream::ServiceTime, subject, path), || {
                draws.uniform(Stream::ServiceTime, subject.wrapping_add(1), path)
            }),
        }
    }

    /// The value at quantile `u`; `second` is an independent uniform for what needs one.
    fn quantile(&self, u: f64, second: impl Fn() -> f64 + Copy) -> f64 {
        match self {
            ServiceTime::Constant(dur) => dur.0.as_nanos() as f64,
            ServiceTime::Exponential(mean) => mean.0.as_nanos() as f64 * exponential(u),
            ServiceTime::LogNormal(LogNormal { median, sigma }) => {
                median.0.as_nanos() as f64 * libm::exp(sigma * normal(u))
            }
            ServiceTime::Mixture(parts) => {
                let mut below = 0.0;
                for part in parts {
                    if u < below + part.share.0 {
                        // Given the part, the rest of the draw is uniform again.
                        return part.takes.quantile((u - below) / part.share.0, second);
                    }
                    below += part.share.0;
                }
                parts.last().map_or(0.0, |part| part.takes.quantile(second(), second))
            }
            ServiceTime::Sum(parts) => parts.iter().map(|part| part.quantile(second(), second)).sum(),
        }
    }

    /// Its mean, in seconds.
    pub fn mean_s(&self) -> f64 {
        match self {
            ServiceTime::Constant(dur) | ServiceTime::Exponential(dur) => dur.secs_f64(),
            ServiceTime::LogNormal(LogNormal { median, sigma }) => {
                median.secs_f64() * libm::exp(sigma * sigma / 2.0)
            }
            ServiceTime::Mixture(parts) => parts.iter().map(|part| part.share.0 * part.takes.mean_s()).sum(),
            ServiceTime::Sum(parts) => parts.iter().map(ServiceTime::mean_s).sum(),
        }
    }
}

fn nested<'a>(parts: impl Iterator<Item = &'a ServiceTime>, place: impl Fn(usize) -> String) -> Vec<Wrong> {
    parts
        .enumerate()
        .flat_map(|(i, part)| {
            let place = place(i);
            part.check()
                .into_iter()
                .map(move |wrong| Wrong::at(format!("{place}.{}", wrong.path), wrong.message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(takes: &ServiceTime) -> f64 {
        let draws = Draws::new(1);
        let n = 200_000;
        (0..n).map(|i| takes.draw(&draws, 1, Path::of_arrival(i))).sum::<f64>() / n as f64 / 1e9
    }

    #[test]
    fn every_distribution_has_the_mean_it_says() {
        let ms = |ms| Dur(std::time::Duration::from_millis(ms));
        let part = |share, takes| Part { share: Share(share), takes };
        for takes in [
            ServiceTime::Constant(ms(100)),
            ServiceTime::Exponential(ms(100)),
            ServiceTime::LogNormal(LogNormal { median: ms(50), sigma: 1.0 }),
            ServiceTime::Mixture(vec![
                part(0.05, ServiceTime::Constant(ms(2000))),
                part(0.95, ServiceTime::Exponential(ms(20))),
            ]),
            ServiceTime::Sum(vec![ServiceTime::Constant(ms(50)), ServiceTime::Exponential(ms(50))]),
        ] {
            let (measured, said) = (mean_of(&takes), takes.mean_s());
            assert!((measured / said - 1.0).abs() < 0.02, "{takes:?}: mean {measured}, said {said}");
        }
    }
}
