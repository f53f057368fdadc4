//! Distribution functions and quantiles: normal, Student's t, beta. Only `libm` below them, and no
//! tables: each quantile solves its own distribution function, so the two cannot disagree.
//!
//! Arguments outside a function's domain are broken invariants of the caller and panic.
//! Sources: *A&S* is Abramowitz and Stegun, Handbook of Mathematical Functions (1964).

use core::f64::consts::{FRAC_1_SQRT_2, PI};

/// Newton's method squares its error in each step, so a relative step this small leaves nothing to gain.
const LAST_STEP: f64 = 1e-9;

/// P(Z > z) of the standard normal distribution.
pub fn normal_upper(z: f64) -> f64 {
    0.5 * libm::erfc(z * FRAC_1_SQRT_2)
}

/// The standard normal quantile: z with P(Z <= z) = p, for 0 < p < 1.
///
/// Newton's method on ln P(Z > z), which is concave (the normal survival function is log-concave), from
/// z = sqrt(-2 ln 2q), which is never below the solution because P(Z > z) <= exp(-z^2 / 2) / 2 (Chiani,
/// Dardari and Simon, IEEE Trans. Wireless Comm. 2(4), 2003). From that side it falls without overshoot.
///
/// # Panics
/// If `p` is not strictly between 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0, "probability {p} is not between 0 and 1");
    let (tail, sign) = if p < 0.5 { (p, -1.0) } else { (1.0 - p, 1.0) };
    let log_tail = libm::log(tail);
    let mut z = libm::sqrt((-2.0 * (log_tail + core::f64::consts::LN_2)).max(0.0));
    for _ in 0..100 {
        let upper = normal_upper(z);
        let density = libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * PI);
        let step = upper / density * (libm::log(upper) - log_tail);
        z += step;
        if step.abs() <= LAST_STEP * z {
            break;
        }
    }
    sign * z
}

/// What Stirling's formula leaves out of ln Gamma(x), for x >= 10 (A&S 6.1.41; the first term left out
/// is below 1e-15 there).
fn stirling_rest(x: f64) -> f64 {
    const TERMS: [f64; 6] =
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let inverse_square = 1.0 / (x * x);
    TERMS.iter().rev().fold(0.0, |sum, term| sum * inverse_square + term) / x
}

/// ln B(a, b), for a, b > 0.
///
/// Where an argument is 10 or more, the large parts of Stirling's formula are cancelled by hand (as in
/// Didonato and Morris, ACM TOMS 18(3), 1992, algorithm 708): the difference of three log-gammas would
/// lose as many digits as they are long.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    let sum = small + large;
    if large < 10.0 {
        return libm::lgamma(small) + libm::lgamma(large) - libm::lgamma(sum);
    }
    let log_large_share = libm::log1p(-small / sum);
    let rest = stirling_rest(large) - stirling_rest(sum);
    if small < 10.0 {
        return libm::lgamma(small) + rest + small - small * libm::log(sum) + (large - 0.5) * log_large_share;
    }
    0.5 * libm::log(2.0 * PI) - 0.5 * libm::log(large)
        + stirling_rest(small)
        + rest
        + (small - 0.5) * libm::log(small / sum)
        + large * log_large_share
}

/// The regularised incomplete beta function I_x(a, b): the distribution function of Beta(a, b), for
/// a, b > 0 and 0 <= x <= 1. Within 1e-12 of values of fifty digits for a and b up to 5000 (tested).
///
/// The continued fraction A&S 26.5.8 by the modified Lentz method, on the side of the mean where it
/// converges in some sqrt(max(a, b)) steps (Press et al., Numerical Recipes, 3rd ed., section 6.4).
///
/// # Panics
/// If an argument is outside its domain.
pub fn beta_inc(a: f64, b: f64, x: f64) -> f64 {
    assert!((0.0..=1.0).contains(&x), "I_x: x = {x} is not between 0 and 1");
    beta_inc_split(a, b, x, 1.0 - x)
}

/// I_x(a, b) with y = 1 - x given, for callers who know it better than a subtraction would.
fn beta_inc_split(a: f64, b: f64, x: f64, y: f64) -> f64 {
    assert!(a > 0.0 && b > 0.0, "I_x(a, b): a = {a} and b = {b} must be positive");
    if x <= 0.0 {
        return 0.0;
    }
    if y <= 0.0 {
        return 1.0;
    }
    let front = libm::exp(a * ln_split(x, y) + b * ln_split(y, x) - ln_beta(a, b));
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, y) / b
    }
}

/// ln x where x = 1 - y; near 1 the logarithm is in the digits of y.
fn ln_split(x: f64, y: f64) -> f64 {
    if x > 0.5 { libm::log1p(-y) } else { libm::log(x) }
}

/// The continued fraction of [`beta_inc`].
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change = c * d;
            value *= change;
        }
        if (change - 1.0).abs() < 4.0 * f64::EPSILON {
            break;
        }
    }
    value
}

/// The quantile of Beta(a, b): x with I_x(a, b) = p, to 1e-12 or better, for a, b > 0 and 0 < p < 1.
///
/// Newton's method inside a bracket that each evaluation narrows; a step that would leave it is
/// replaced by bisection.
///
/// # Panics
/// If an argument is outside its domain.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0, "probability {p} is not between 0 and 1");
    let norm = ln_beta(a, b);
    let (mut low, mut high) = (0.0, 1.0);
    let mut x = a / (a + b);
    for _ in 0..200 {
        let excess = beta_inc(a, b, x) - p;
        if excess > 0.0 {
            high = x;
        } else {
            low = x;
        }
        let density = libm::exp((a - 1.0) * libm::log(x) + (b - 1.0) * libm::log1p(-x) - norm);
        let newton = x - excess / density;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        let step = (next - x).abs();
        x = next;
        if step <= 1e-15 * x {
            break;
        }
    }
    x
}

/// P(T > t) of Student's t with `df` degrees of freedom, for t >= 0 (A&S 26.7.1 with 26.5.27).
fn t_upper(t: f64, df: f64) -> f64 {
    let square = t * t;
    let sum = df + square;
    0.5 * beta_inc_split(0.5 * df, 0.5, df / sum, square / sum)
}

/// The quantile of Student's t with `df` > 0 degrees of freedom (not necessarily whole), for 0 < p < 1.
///
/// Newton's method on the upper tail, which is convex for t > 0, from the normal quantile, which is
/// never above the solution (the tails of t are heavier): from that side it rises without overshoot.
///
/// # Panics
/// If an argument is outside its domain.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0, "probability {p} is not between 0 and 1");
    assert!(df > 0.0 && df.is_finite(), "{df} degrees of freedom");
    let (tail, sign) = if p < 0.5 { (p, -1.0) } else { (1.0 - p, 1.0) };
    let log_norm = ln_beta(0.5 * df, 0.5) + 0.5 * libm::log(df);
    let mut t = -normal_quantile(tail);
    for _ in 0..1000 {
        let density = libm::exp(-0.5 * (df + 1.0) * libm::log1p(t * t / df) - log_norm);
        let step = (t_upper(t, df) - tail) / density;
        t += step;
        if step.abs() <= LAST_STEP * t.abs() {
            break;
        }
    }
    sign * t
}
