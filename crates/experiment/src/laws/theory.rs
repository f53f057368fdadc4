//! What is known about queues, loops and retries: closed forms and exact recursions, from parameters alone.
//! Nothing here may look at a run, and no mathematics but `libm`'s, so that the page is the same everywhere.
//!
//! Sources: *Kleinrock* is L. Kleinrock, Queueing Systems, volume 1 (1975); *Gross* is Gross, Shortle,
//! Thompson and Harris, Fundamentals of Queueing Theory, 4th ed. (2008).

/// A station with Poisson arrivals and exponential service: M/M/c. Rates are per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Station {
    /// Arrivals per second.
    pub arrivals: f64,
    /// Calls that one server finishes per second.
    pub service: f64,
    /// Servers.
    pub servers: usize,
}

impl Station {
    /// The load in units of one server.
    pub fn offered(&self) -> f64 {
        self.arrivals / self.service
    }

    /// The load as a share of all servers.
    pub fn utilisation(&self) -> f64 {
        self.offered() / self.servers as f64
    }

    /// Calls per second that the servers can do beyond those that arrive.
    fn spare(&self) -> f64 {
        self.servers as f64 * self.service - self.arrivals
    }

    /// Erlang's B: the share lost when nobody may wait. Recursion over servers (Gross, section 2.4).
    pub fn loss_without_queue(&self) -> f64 {
        let load = self.offered();
        (1..=self.servers).fold(1.0, |loss, k| load * loss / (k as f64 + load * loss))
    }

    /// Erlang's C: the share that has to wait when all may (Gross, section 2.3), below a utilisation of 1.
    pub fn waits(&self) -> f64 {
        let loss = self.loss_without_queue();
        loss / (1.0 - self.utilisation() * (1.0 - loss))
    }

    /// Mean wait, seconds.
    pub fn mean_wait_s(&self) -> f64 {
        self.waits() / self.spare()
    }

    /// The wait that a share `p` of all calls does not exceed, seconds: waits above zero are exponential at
    /// the rate of the spare capacity.
    pub fn wait_quantile_s(&self, p: f64) -> f64 {
        libm::log((self.waits() / (1.0 - p)).max(1.0)) / self.spare()
    }

    /// How long the station remembers, seconds: the reciprocal of the smallest rate at which anything about
    /// an M/M/1 queue with the same capacity settles, c mu (1 - sqrt(utilisation))^2 (Kleinrock, section
    /// 2.12). With more servers at the same capacity it settles no slower at high utilisation.
    pub fn relaxation_s(&self) -> f64 {
        let root = 1.0 - libm::sqrt(self.utilisation());
        1.0 / (self.servers as f64 * self.service * root * root)
    }

    /// With room for `room` waiting calls: M/M/c/(c + room) (Gross, section 2.5), at any utilisation.
    pub fn with_room(&self, room: usize) -> Bounded {
        let load = self.offered();
        let mut weights = vec![1.0];
        for n in 1..=self.servers + room {
            let busy = n.min(self.servers) as f64;
            let next = weights[n - 1] * load / busy;
            weights.push(next);
        }
        let total: f64 = weights.iter().sum();
        let waiting: f64 =
            weights.iter().enumerate().map(|(n, w)| n.saturating_sub(self.servers) as f64 * w).sum();
        let loss = weights[self.servers + room] / total;
        Bounded { loss, mean_wait_s: waiting / total / (self.arrivals * (1.0 - loss)) }
    }
}

/// See [`Station::with_room`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// The share refused for want of room.
    pub loss: f64,
    /// Mean wait of those who were let in, seconds.
    pub mean_wait_s: f64,
}

/// Mean wait at one server with Poisson arrivals and any service times, seconds: Pollaczek and Khinchine
/// (Kleinrock, section 5.6). `mean_s` and `second_moment_s2` are of the service time.
pub fn pollaczek_khinchine_s(arrivals: f64, mean_s: f64, second_moment_s2: f64) -> f64 {
    arrivals * second_moment_s2 / (2.0 * (1.0 - arrivals * mean_s))
}

/// A closed loop: its throughput per second and mean response in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closed {
    /// Answers per second.
    pub throughput: f64,
    /// From request to answer.
    pub response_s: f64,
}

/// `users` who think for `think_s` on average and then ask one server that takes `service_s` on average:
/// exact mean value analysis (Reiser and Lavenberg, Journal of the ACM 27(2), 1980).
pub fn mean_value_analysis(users: u32, think_s: f64, service_s: f64) -> Closed {
    let empty = Closed { throughput: 0.0, response_s: service_s };
    (1..=users)
        .fold((empty, 0.0), |(_, waiting), n| {
            let response_s = service_s * (1.0 + waiting);
            let throughput = f64::from(n) / (response_s + think_s);
            (Closed { throughput, response_s }, throughput * response_s)
        })
        .0
}

/// A call with up to `attempts` attempts, each of which fails with probability `failure` independently:
/// (share of calls that fail, attempts per call).
pub fn retried(failure: f64, attempts: u32) -> (f64, f64) {
    let all_fail = (0..attempts).fold(1.0, |p, _| p * failure);
    let mean = if failure < 1.0 { (1.0 - all_fail) / (1.0 - failure) } else { f64::from(attempts) };
    (all_fail, mean)
}

/// A cache whose entries live for `ttl_s` from when they were stored by a fill of `fill_s`, for which all who ask
/// meanwhile wait: (hit rate, entries stored on average). `shares` of the Poisson `arrivals` per second are for each key.
///
/// A cycle of a key with rate r begins with a miss: `fill_s` of misses, `ttl_s` of hits, then 1 / r until the next.
pub fn time_to_live(shares: &[f64], arrivals: f64, ttl_s: f64, fill_s: f64) -> (f64, f64) {
    let stored = |share: &f64| {
        let rate = share * arrivals;
        rate * ttl_s / (1.0 + rate * (ttl_s + fill_s))
    };
    // Poisson arrivals see time averages: a key's hit rate is the share of time for which it is stored.
    (shares.iter().map(|share| share * stored(share)).sum(), shares.iter().map(stored).sum())
}

/// The hit rate of a cache with room for `size` entries, least recently used out first, by Che's approximation: an entry
/// goes when it has not been asked for during t, the same t for all, within which `size` keys are asked for on average.
pub fn least_recently_used(shares: &[f64], arrivals: f64, size: f64) -> f64 {
    let asked_for = |share: f64, t: f64| -libm::expm1(-share * arrivals * t);
    let keys_within = |t: f64| shares.iter().map(|share| asked_for(*share, t)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    while keys_within(high) < size.min(shares.len() as f64 * (1.0 - 1e-9)) {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if keys_within(middle) < size { low = middle } else { high = middle }
    }
    shares.iter().map(|share| share * asked_for(*share, high)).sum()
}

/// The share answered within `within_s` by one server that serves the last comer first and is overloaded
/// for good: `arrivals` and `service` per second, exponential, arrivals the more frequent.
///
/// A new call finds the server at work. It starts when that work, and all who came after it, are done: the
/// busy period of an M/M/1 queue begun by one call, which with a probability of service / arrivals ends at
/// all (Kleinrock, section 5.8). Then it is served. Computed by uniformisation (Jensen, Skandinavisk
/// Aktuarietidskrift 36, 1953): the jump chain's distribution, mixed by Poisson's.
pub fn last_in_first_out_share(arrivals: f64, service: f64, within_s: f64) -> f64 {
    let (pace, up) = (arrivals + service, arrivals / (arrivals + service));
    let jumps = pace * within_s;
    // Beyond twelve standard deviations nothing is left at the precision of a double.
    let most = (jumps + 12.0 * libm::sqrt(jumps) + 20.0) as usize;
    let mut ahead = vec![0.0; most + 3];
    ahead[1] = 1.0;
    let (mut answered, mut share) = (0.0, 0.0);
    for step in 0..=most {
        let k = step as f64;
        share += answered * libm::exp(k * libm::log(jumps) - jumps - libm::lgamma(k + 1.0));
        let mut next = vec![0.0; ahead.len()];
        // In service: arrivals no longer matter.
        answered += ahead[0] * (1.0 - up);
        next[0] = ahead[0] * up;
        for n in 1..=(step + 1).min(ahead.len() - 2) {
            next[n + 1] += ahead[n] * up;
            next[n - 1] += ahead[n] * (1.0 - up);
        }
        ahead = next;
    }
    share
}

/// The longest wait under controlled delay that an overload which does not give way reaches, seconds, in
/// the fluid of evenly spaced arrivals and services, when the queue was empty at the start.
///
/// The wait of the head is (time since the start) (1 - service / arrivals) until it has been above `target_s`
/// for `interval_s`; then the n-th drop comes `interval_s` / sqrt(n - 1) after the one before it (RFC 8289,
/// section 5), and each shortens the wait by 1 / arrivals.
pub fn controlled_delay_peak_s(arrivals: f64, service: f64, target_s: f64, interval_s: f64) -> f64 {
    let growth = 1.0 - service / arrivals;
    let mut at = target_s / growth + interval_s;
    let mut peak = 0.0_f64;
    for drops in 0_u32.. {
        let wait = at * growth - f64::from(drops) / arrivals;
        if wait < peak {
            break;
        }
        peak = wait;
        at += interval_s / libm::sqrt(f64::from(drops + 1));
    }
    peak
}

/// Parameters of the Universal Scalability Law from throughputs, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalability {
    /// Time of one piece of work alone, seconds.
    pub alone_s: f64,
    /// Contention.
    pub alpha: f64,
    /// Coherence.
    pub beta: f64,
}

/// Fits n / X(n) = S (1 + alpha (n - 1) + beta n (n - 1)) to pairs of n and X(n), by relative errors. Linear
/// in S, S alpha and S beta. None if the pairs do not determine all three.
pub fn fit_scalability(throughputs: &[(usize, f64)]) -> Option<Scalability> {
    let mut matrix = [[0.0; 4]; 3];
    for &(n, x) in throughputs {
        let n = n as f64;
        // The measured time per piece and worker is 1: everything is relative to it.
        let scale = x / n;
        let row = [scale, (n - 1.0) * scale, n * (n - 1.0) * scale, 1.0];
        for i in 0..3 {
            for j in 0..4 {
                matrix[i][j] += row[i] * row[j];
            }
        }
    }
    let [alone_s, contention, coherence] = solve(matrix)?;
    Some(Scalability { alone_s, alpha: contention / alone_s, beta: coherence / alone_s })
}

/// Gaussian elimination with partial pivoting.
fn solve(mut m: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for i in 0..3 {
        let pivot = (i..3).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].abs() < f64::MIN_POSITIVE {
            return None;
        }
        let above = m[i];
        for row in m.iter_mut().skip(i + 1) {
            let factor = row[i] / above[i];
            row.iter_mut().zip(above).for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut x = [0.0; 3];
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|j| m[i][j] * x[j]).sum();
        x[i] = (m[i][3] - known) / m[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + b.abs())
    }

    fn station(arrivals: f64, service: f64, servers: usize) -> Station {
        Station { arrivals, service, servers }
    }

    #[test]
    fn one_server_has_the_formulas_of_every_textbook() {
        let one = station(0.9, 1.0, 1);
        assert!(close(one.waits(), 0.9));
        assert!(close(one.mean_wait_s(), 9.0));
        assert!(close(one.wait_quantile_s(0.99), 10.0 * libm::log(90.0)));
        assert!(close(pollaczek_khinchine_s(0.9, 1.0, 2.0), 9.0), "exponential service");
        assert!(close(pollaczek_khinchine_s(0.9, 1.0, 1.0), 4.5), "constant service waits half as long");
    }

    #[test]
    fn erlangs_tables_are_reproduced() {
        // Ten lines offered seven erlangs lose 7.874 %; the value of Erlang's tables (and of the sum
        // a^c/c! / sum a^k/k!).
        assert!((station(7.0, 1.0, 10).loss_without_queue() - 0.078_741).abs() < 1e-6);
        // Two servers at utilisation 0.75: C = 2 rho^2 / (1 + rho).
        assert!(close(station(1.5, 1.0, 2).waits(), 2.0 * 0.75 * 0.75 / 1.75));
    }

    #[test]
    fn a_call_that_may_try_four_times_fails_as_rarely_and_costs_as_much_as_counted_by_hand() {
        let (fails, attempts) = retried(0.5, 4);
        assert!(close(fails, 0.0625) && close(attempts, 1.875));
        assert!(close(retried(1.0, 4).1, 4.0));
    }

    #[test]
    fn caches_of_equal_keys_have_the_hit_rates_that_are_counted_by_hand() {
        let equal = [0.25; 4];
        // Each key once per second, for three seconds: three hits for each miss.
        let (hits, stored) = time_to_live(&equal, 4.0, 3.0, 0.0);
        assert!(close(hits, 0.75) && close(stored, 3.0));
        // With fills of one second: one miss that fills, one that waits, three hits.
        assert!(close(time_to_live(&equal, 4.0, 3.0, 1.0).0, 0.6));
        // Of equally popular keys half are stored, and half of all lookups hit.
        assert!((least_recently_used(&equal, 7.0, 2.0) - 0.5).abs() < 1e-9);
        // With room for one, a lookup hits if the one before was for the same: exactly 0.54.
        let one = least_recently_used(&[0.7, 0.2, 0.1], 1.0, 1.0);
        assert!((one - 0.54).abs() < 0.05, "{one}");
    }

    #[test]
    fn last_in_first_out_answers_the_share_that_there_is_capacity_for() {
        assert!((last_in_first_out_share(2.0, 1.0, 400.0) - 0.5).abs() < 1e-6);
        assert!((last_in_first_out_share(3.0, 1.0, 400.0) - 1.0 / 3.0).abs() < 1e-6);
        // Two exponential services in a row and nobody who comes between: Erlang's distribution.
        let t: f64 = 1.3;
        let erlang = 1.0 - libm::exp(-t) * (1.0 + t);
        assert!((last_in_first_out_share(1e-9, 1.0, t) - erlang).abs() < 1e-6);
    }

    #[test]
    fn two_users_of_one_server_are_the_machine_repair_problem() {
        // Z = 1, s = 1: states 0, 1, 2 at the server have weights 1, 2, 2: busy 4/5.
        let closed = mean_value_analysis(2, 1.0, 1.0);
        assert!(close(closed.throughput, 0.8));
        assert!(close(closed.response_s, 2.0 / 0.8 - 1.0));
    }

    proptest! {
        #[test]
        fn without_room_a_bounded_station_is_erlangs_loss_and_with_much_room_it_waits(
            load in 0.05_f64..0.9, servers in 1_usize..40, service in 0.1_f64..1000.0,
        ) {
            let it = station(load * servers as f64 * service, service, servers);
            prop_assert!(close(it.with_room(0).loss, it.loss_without_queue()));
            let roomy = it.with_room(2000);
            prop_assert!(close(roomy.mean_wait_s, it.mean_wait_s()));
            prop_assert!(roomy.loss < 1e-12);
        }

        #[test]
        fn a_fit_to_exact_throughputs_finds_their_parameters(
            alone in 0.001_f64..1.0, alpha in 0.0_f64..0.5, beta in 0.0_f64..0.01,
        ) {
            let points: Vec<(usize, f64)> = [1, 2, 4, 8, 16, 32]
                .into_iter()
                .map(|n| {
                    let m = n as f64;
                    (n, m / (alone * (1.0 + alpha * (m - 1.0) + beta * m * (m - 1.0))))
                })
                .collect();
            let fit = fit_scalability(&points).unwrap();
            prop_assert!((fit.alone_s / alone - 1.0).abs() < 1e-6);
            prop_assert!((fit.alpha - alpha).abs() < 1e-6 && (fit.beta - beta).abs() < 1e-6);
        }
    }
}
