//! What Linux says of this machine and of processes on it, for whoever measures them. Read from /proc.

/// Time that all threads of a process have had, in seconds, to a hundredth; zero if it is gone.
pub fn process_cpu_s(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name in brackets, which may hold anything: user and system ticks are fields 14 and 15 of all.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}

/// How many processes wanted a processor, averaged over the last minute; none where nobody says.
pub fn wanted() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Processors and platform, for the line above a table.
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    format!("{cpus} processors, {model}, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}
