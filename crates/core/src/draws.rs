//! Randomness by name and key. A draw is a pure function of (seed, stream, subject, path): two arms that ask
//! the same question get the same answer, however many other questions a lever adds or removes.
//!
//! One uniform per variate, turned into the variate by its inverse distribution function, so that equal
//! keys give equal quantiles and a slower distribution gives a slower draw. Logarithms and exponentials are
//! `libm`'s, because the platform's differ.
//!
//! Streams that are consumed in order (one generator per service, say) would fall out of step at the first
//! retry that one arm makes and the other does not.

/// What a draw is for. Draws of different streams are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Gaps between arrivals.
    Arrival = 1,
    /// A service's own working time.
    ServiceTime = 2,
    /// Whether a service fails a call.
    Failure = 3,
    /// Waiting between attempts.
    Backoff = 4,
    /// Whether a failure is tried again.
    RetryShare = 5,
    /// Whether a trigger fails a call.
    TriggerError = 6,
    /// Whether a trigger lets a call hang.
    TriggerHang = 7,
    /// Whether a call takes an optional hop.
    CallShare = 8,
    /// Closed-loop users' pauses.
    ThinkTime = 9,
    /// A balancer's choice.
    Balance = 10,
    /// Whether a call is shed or throttled.
    Shed = 11,
    /// Of which class an arrival is.
    Class = 12,
    /// How much longer than others one is advised to wait.
    Advice = 14,
    /// When an adaptive limit measures anew.
    Probe = 13,
    /// What an arrival asks a cache for.
    CacheKey = 15,
    /// By how much an entry's time to live is shortened.
    CacheTtl = 16,
    /// Whether a lookup refreshes an entry before it is due.
    EarlyRefresh = 17,
    /// Whether a user comes although it is slow.
    Demand = 19,
    /// What a team does: whether a change is bad, who hears a page.
    Team = 18,
    /// Which rows an arrival asks for, and whether it locks any.
    Row = 20,
}

/// SplitMix64's finaliser: a bijection on 64 bits in which every input bit reaches every output bit.
/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014.
#[inline]
pub const fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A key from a name, such as a service's. FNV-1a.
pub const fn name_key(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    mix(hash)
}

/// Where a call is in the tree of calls that one arrival makes: the arrival, then (which call of the
/// handler, which attempt of that call) for every hop. An attempt number alone would collide across hops,
/// and two layers of retries would fail together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(u64);

impl Path {
    /// The arrival itself.
    pub const fn of_arrival(arrival: u64) -> Path {
        Path(mix(arrival))
    }

    /// The hop that is the `call`-th call of this one's handler.
    pub const fn call(self, call: u32) -> Path {
        Path(mix(self.0 ^ ((call as u64 + 1) << 32)))
    }

    /// The `attempt`-th attempt (from 0) at this hop.
    pub const fn attempt(self, attempt: u32) -> Path {
        Path(mix(self.0.wrapping_add(attempt as u64 + 1)))
    }

    /// The `hedge`-th further try (from 1) beside the attempt at this place. It is no attempt of its own: the
    /// attempts of a call keep their keys, whether or not one of them was hedged.
    pub const fn hedge(self, hedge: u32) -> Path {
        Path(mix(self.0.rotate_left(32) ^ hedge as u64))
    }

    /// A number that identifies this place, to travel over the wire.
    pub const fn id(self) -> u64 {
        self.0
    }

    /// The path that [`Path::id`] named.
    pub const fn from_id(id: u64) -> Path {
        Path(id)
    }
}

/// All the randomness of one run.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    seed: u64,
}

impl Draws {
    /// The draws of this seed.
    pub const fn new(seed: u64) -> Draws {
        Draws { seed: mix(seed) }
    }

    /// 64 uniform bits for this key.
    #[inline]
    pub const fn bits(&self, stream: Stream, subject: u64, path: Path) -> u64 {
        mix(mix(mix(self.seed ^ stream as u64) ^ subject) ^ path.0)
    }

    /// Uniform strictly between 0 and 1, for this key.
    #[inline]
    pub fn uniform(&self, stream: Stream, subject: u64, path: Path) -> f64 {
        ((self.bits(stream, subject, path) >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }

    /// True with probability `share`, for this key. Monotone: what is true at 10 % is true at 20 %.
    #[inline]
    pub fn chance(&self, share: f64, stream: Stream, subject: u64, path: Path) -> bool {
        share > 0.0 && self.uniform(stream, subject, path) < share
    }
}

/// The exponential variate of mean 1 at quantile `u`.
pub fn exponential(u: f64) -> f64 {
    -libm::log1p(-u)
}

/// The standard normal variate at quantile `u`, 0 < u < 1.
///
/// Acklam's rational approximation (relative error 1.15e-9), then one step of Halley's method on
/// `libm::erfc`, which brings it to full precision.
pub fn normal(u: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.383_577_518_672_69e2,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 4] =
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| horner(&C, q) / (horner(&D, q) * q + 1.0);
    let x = if u < 0.02425 {
        tail(libm::sqrt(-2.0 * libm::log(u)))
    } else if u > 1.0 - 0.02425 {
        -tail(libm::sqrt(-2.0 * libm::log1p(-u)))
    } else {
        let q = u - 0.5;
        let r = q * q;
        horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    };
    let error = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2) - u;
    let step = error * libm::sqrt(2.0 * std::f64::consts::PI) * libm::exp(x * x / 2.0);
    x - step / (1.0 + x * step / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_give_equal_draws_and_other_keys_give_others() {
        let draws = Draws::new(1);
        let path = Path::of_arrival(7).call(0).attempt(0);
        let first = draws.uniform(Stream::ServiceTime, 3, path);
        assert_eq!(first.to_bits(), Draws::new(1).uniform(Stream::ServiceTime, 3, path).to_bits());
        for other in [
            Draws::new(2).uniform(Stream::ServiceTime, 3, path),
            draws.uniform(Stream::Failure, 3, path),
            draws.uniform(Stream::ServiceTime, 4, path),
            draws.uniform(Stream::ServiceTime, 3, path.attempt(0)),
            draws.uniform(Stream::ServiceTime, 3, Path::of_arrival(7).call(0).attempt(1)),
            draws.uniform(Stream::ServiceTime, 3, Path::of_arrival(7).call(1).attempt(0)),
        ] {
            assert_ne!(first.to_bits(), other.to_bits());
        }
    }

    #[test]
    fn two_layers_of_attempts_do_not_share_a_key() {
        let root = Path::of_arrival(1).call(0);
        let mut seen = std::collections::BTreeSet::new();
        for outer in 0..8 {
            for inner in 0..8 {
                assert!(seen.insert(root.attempt(outer).call(0).attempt(inner)));
                assert!(seen.insert(root.attempt(outer).call(0).attempt(inner).hedge(1)));
            }
        }
    }

    #[test]
    fn uniforms_fill_the_unit_interval_evenly() {
        let draws = Draws::new(42);
        let n = 100_000_u64;
        let mut bins = [0_u64; 20];
        for arrival in 0..n {
            let u = draws.uniform(Stream::Arrival, 0, Path::of_arrival(arrival));
            assert!(u > 0.0 && u < 1.0);
            bins[(u * 20.0) as usize] += 1;
        }
        let expected = n as f64 / 20.0;
        let chi2: f64 = bins.iter().map(|&k| (k as f64 - expected) * (k as f64 - expected) / expected).sum();
        assert!(chi2 < 43.8, "chi-squared with 19 degrees of freedom exceeds its 99.9 % quantile: {chi2}");
    }

    #[test]
    fn neighbouring_keys_are_uncorrelated() {
        let draws = Draws::new(3);
        let n = 50_000_u64;
        let u = |i: u64| draws.uniform(Stream::Arrival, 0, Path::of_arrival(i)) - 0.5;
        let covariance: f64 = (0..n).map(|i| u(i) * u(i + 1)).sum::<f64>() / n as f64;
        assert!((covariance * 12.0).abs() < 0.02, "lag-1 correlation {}", covariance * 12.0);
    }

    #[test]
    fn normal_quantiles_match_the_tables() {
        for (u, z) in
            [(0.5, 0.0), (0.975, 1.959963984540054), (0.001, -3.090232306167814), (1e-9, -5.997807015007686)]
        {
            assert!((normal(u) - z).abs() < 1e-12, "{u}: {} is not {z}", normal(u));
        }
    }
}
