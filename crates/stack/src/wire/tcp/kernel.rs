//! What the kernel says of its queues of connections. Of one listener: the level of its accept queue (`TCP_INFO`) and
//! what was dropped for want of a place in it (`SO_MEMINFO`). Of the whole network namespace, whoever listens there:
//! `ListenOverflows` and `ListenDrops`. Of one connection: how often its first packet was sent again.
//!
//! Two arms run side by side in one process, so the counters of the namespace cannot say whose the drops were. What
//! the listener's own socket says can.
//!
//! Linux only. Elsewhere nothing can be read, and nobody may take that for nothing having happened: all answers are
//! `None`.

use std::os::fd::AsFd;

/// One listener, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Connections that are complete and not accepted.
    pub level: u32,
    /// What the kernel has granted of the backlog that was asked for. It holds one more.
    pub backlog: u32,
    /// Packets dropped since it was opened.
    pub drops: u32,
}

/// A network namespace, since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Packets that found an accept queue full.
    pub listen_overflows: u64,
    /// Packets that a listener dropped, for that or for another reason.
    pub listen_drops: u64,
}

impl Namespace {
    /// What happened since `earlier`.
    pub fn since(&self, earlier: &Namespace) -> Namespace {
        Namespace {
            listen_overflows: self.listen_overflows.saturating_sub(earlier.listen_overflows),
            listen_drops: self.listen_drops.saturating_sub(earlier.listen_drops),
        }
    }
}

/// Reads a listening socket.
pub fn listener(socket: &impl AsFd) -> Option<Listener> {
    let info = options::tcp_info(socket.as_fd())?;
    let memory = options::memory(socket.as_fd())?;
    // Of a listening socket these two fields of `struct tcp_info` mean something else than of others: `tcp_get_info`
    // in the kernel's net/ipv4/tcp.c.
    Some(Listener { level: info[UNACKED], backlog: info[SACKED], drops: memory[DROPS] })
}

/// How often a packet of this connection was sent again so far; of one that is not complete, its first.
pub fn retransmissions(socket: &impl AsFd) -> Option<u32> {
    options::tcp_info(socket.as_fd()).map(|info| info[TOTAL_RETRANSMISSIONS])
}

/// Reads the counters of the namespace that this process is in.
pub fn namespace() -> Option<Namespace> {
    let text = std::fs::read_to_string("/proc/net/netstat").ok()?;
    read_netstat(&text)
}

fn read_netstat(text: &str) -> Option<Namespace> {
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let of = |name: &str| {
        let place = names.split_whitespace().position(|it| it == name)?;
        values.split_whitespace().nth(place)?.parse().ok()
    };
    Some(Namespace { listen_overflows: of("ListenOverflows")?, listen_drops: of("ListenDrops")? })
}

/// A setting of the kernel, such as `net/core/somaxconn`.
pub fn setting(path: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

/// Places in `struct tcp_info` (uapi/linux/tcp.h), in units of 32 bits.
const UNACKED: usize = 6;
const SACKED: usize = 7;
const TOTAL_RETRANSMISSIONS: usize = 25;
/// `SK_MEMINFO_DROPS` (uapi/linux/sock_diag.h).
const DROPS: usize = 8;

#[cfg(target_os = "linux")]
mod options {
    use std::os::fd::{AsRawFd, BorrowedFd};

    pub(super) fn tcp_info(socket: BorrowedFd<'_>) -> Option<[u32; 26]> {
        read(socket, libc::IPPROTO_TCP, libc::TCP_INFO)
    }

    pub(super) fn memory(socket: BorrowedFd<'_>) -> Option<[u32; 9]> {
        read(socket, libc::SOL_SOCKET, libc::SO_MEMINFO)
    }

    /// The first `N` words of a socket option; none where the kernel knows fewer.
    #[allow(unsafe_code, reason = "no library in reach reads these options: the only such place")]
    fn read<const N: usize>(socket: BorrowedFd<'_>, level: i32, name: i32) -> Option<[u32; N]> {
        let mut words = [0_u32; N];
        let bytes = std::mem::size_of_val(&words) as libc::socklen_t;
        let mut length = bytes;
        // SAFETY: the socket is open for as long as it is borrowed, and the kernel writes no more than `length` bytes
        // to the words, which are as long as that and may have any value.
        let answer = unsafe {
            libc::getsockopt(socket.as_raw_fd(), level, name, words.as_mut_ptr().cast(), &raw mut length)
        };
        (answer == 0 && length == bytes).then_some(words)
    }
}

#[cfg(not(target_os = "linux"))]
mod options {
    use std::os::fd::BorrowedFd;

    pub(super) fn tcp_info(_: BorrowedFd<'_>) -> Option<[u32; 26]> {
        None
    }

    pub(super) fn memory(_: BorrowedFd<'_>) -> Option<[u32; 9]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name_wherever_they_stand() {
        let text = "TcpExt: SyncookiesSent ListenOverflows Other ListenDrops\nTcpExt: 1 22 3 44\nIpExt: A\nIpExt: 5\n";
        assert_eq!(read_netstat(text), Some(Namespace { listen_overflows: 22, listen_drops: 44 }));
        for broken in ["", "TcpExt: ListenOverflows ListenDrops\n", "TcpExt: ListenDrops\nTcpExt: 1\n"] {
            assert_eq!(read_netstat(broken), None);
        }
        assert_eq!(read_netstat("TcpExt: ListenOverflows ListenDrops\nTcpExt: 1\n"), None);
    }
}
