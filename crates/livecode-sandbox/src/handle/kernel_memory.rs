//! Measures memory that the kernel holds for a sandbox and that is mapped into no process: files
//! of its tmpfs, and data in the buffers of its sockets. Used if no cgroup charges it.
//!
//! Data that waits in a unix socket is charged to the socket that sent it, and listed there while
//! that socket is open. After that, it is measured where it waits. A connection that was not
//! accepted yet is in no list of the kernel, but its socket is counted; it is assumed to hold as
//! much as a socket may hold by default.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::{socket_list, uncharged::netlink_bytes};
use rustix::{
    fs::{CWD, Mode, OFlags, fstat, fstatvfs, major, minor, openat},
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with},
};

/// Kernel memory of one file or folder of a tmpfs, apart from its contents, in KiB.
const INODE_KIB: u64 = 1;
/// Assumed contents of a socket that the kernel does not list, in KiB. It is the default limit of
/// a unix socket (`net.core.wmem_default`), rounded up.
const UNLISTED_SOCKET_KIB: u64 = 256;

/// Sockets that may be in no list because they are not bound yet, and hold nothing.
const MAX_IDLE_SOCKETS: u64 = 64;

// Constants of linux/netlink.h, linux/sock_diag.h and linux/unix_diag.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_AND_DUMP: u16 = 0x301;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const UDIAG_SHOW_PEER: u32 = 0x4;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UDIAG_SHOW_MEMINFO: u32 = 0x20;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_MEMINFO: u16 = 5;
/// The state of a socket that listens (`TCP_LISTEN`); its receive queue counts connections.
const LISTENING: u8 = 10;
/// Where the bytes that a socket has sent and nobody has read are in the attribute: the third of
/// several numbers of 32 bits (`SK_MEMINFO_WMEM_ALLOC`).
const WMEM_ALLOC_INDEX: usize = 2;
/// The lengths of `nlmsghdr` and of `unix_diag_msg`, both of which are multiples of four.
const MESSAGE_HEADER_BYTES: usize = 16;
const UNIX_SOCKET_BYTES: usize = 16;
/// The kernel fills buffers of up to this size when it lists sockets.
const DUMP_BUFFER_BYTES: usize = 32 * 1024;

/// Descriptors by which a sandbox's kernel memory is measured. Init opens them inside before
/// anything else runs there, and sends them to the supervisor.
pub(crate) struct KernelMemoryProbe {
    /// The root of the sandbox's tmpfs. It is only measured, never opened.
    tmpfs: OwnedFd,
    /// A netlink socket that lists the sockets of the sandbox's network namespace (sock_diag(7)).
    /// `None` if the kernel has no such list.
    sockets: Option<OwnedFd>,
    /// The device number of the tmpfs, as `/proc/<pid>/smaps` prints it.
    device: String,
}

impl KernelMemoryProbe {
    /// Opens the descriptors. To be called inside the sandbox, after its root was entered.
    pub fn open() -> io::Result<Vec<OwnedFd>> {
        let tmpfs = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let flags = SocketFlags::CLOEXEC;
        let sockets = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG));
        Ok(std::iter::once(tmpfs).chain(sockets).collect())
    }

    /// The probe with the descriptors that [`Self::open`] has returned.
    pub fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut descriptors = descriptors.into_iter();
        let tmpfs = descriptors.next()?;
        let device = fstat(&tmpfs).ok()?.st_dev;
        let device = format!("{:02x}:{:02x}", major(device), minor(device));
        Some(Self { tmpfs, sockets: descriptors.next(), device })
    }

    /// The device number of the tmpfs, as `/proc/<pid>/smaps` prints it.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Memory of the files in the tmpfs, in KiB, whether a process has mapped them or not.
    pub fn tmpfs_kib(&self) -> u64 {
        let Ok(stat) = fstatvfs(&self.tmpfs) else { return 0 };
        let blocks = stat.f_blocks.saturating_sub(stat.f_bfree);
        let inodes = stat.f_files.saturating_sub(stat.f_ffree);
        blocks.saturating_mul(stat.f_frsize) / 1024 + inodes * INODE_KIB
    }

    /// Memory of the data that waits in sockets of the sandbox with this init, in KiB.
    pub fn sockets_kib(&self, init: i32) -> u64 {
        let counts = socket_list::read(init, "sockstat");
        let own = self.sockets.iter().count() as u64;
        let used = number_after(&counts, "sockets: used").saturating_sub(own);
        let has_tcp = number_after(&counts, "TCP: inuse") > 0;
        if used == 0 && !has_tcp {
            return 0;
        }
        let mut listed = SocketTotals::default();
        if let Some(socket) = &self.sockets {
            // A failure leaves sockets out, which are then counted as unlisted.
            let _ = add_unix_sockets(socket.as_fd(), &mut listed);
        }
        for name in ["tcp", "tcp6", "udp", "udp6"] {
            add_inet_sockets(&socket_list::read(init, name), &mut listed);
        }
        let netlink = socket_list::read(init, "netlink");
        listed.sockets += netlink.lines().skip(1).count() as u64;
        listed.bytes += netlink_bytes(&netlink);
        let unlisted = used.saturating_sub(listed.sockets + MAX_IDLE_SOCKETS);
        listed.bytes / 1024 + unlisted * UNLISTED_SOCKET_KIB
    }
}

/// The totals of a list of sockets.
#[derive(Debug, Default, PartialEq)]
struct SocketTotals {
    sockets: u64,
    bytes: u64,
}

/// The number that follows `label`; 0 without one.
fn number_after(text: &str, label: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(label));
    rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Adds the sockets in the text of `/proc/net/tcp` or `/proc/net/udp`. The fifth column has the
/// bytes in the send queue and in the receive queue, in hexadecimal digits.
fn add_inet_sockets(text: &str, totals: &mut SocketTotals) {
    /// The state of a socket that listens; its receive queue counts connections.
    const LISTENING: &str = "0A";
    /// The state of a connection that has ended. It has no socket any more.
    const TIME_WAIT: &str = "06";
    for line in text.lines().skip(1) {
        let mut columns = line.split_whitespace().skip(3);
        let (Some(state), Some(queues)) = (columns.next(), columns.next()) else { continue };
        totals.sockets += u64::from(state != TIME_WAIT);
        if state != LISTENING {
            let lengths = queues.split(':').filter_map(|digits| u64::from_str_radix(digits, 16).ok());
            totals.bytes += lengths.sum::<u64>();
        }
    }
}

/// One unix socket, as the kernel describes it.
#[derive(Debug, Default, PartialEq)]
struct UnixSocket {
    inode: u32,
    /// The inode of the socket that it is connected to; 0 if that is closed.
    peer: u32,
    /// Bytes of kernel memory that it has sent and that were not read yet.
    sent_bytes: u32,
    /// Bytes that it can read.
    unread_bytes: u32,
}

/// Asks the kernel for all unix sockets, and adds them.
fn add_unix_sockets(socket: BorrowedFd<'_>, totals: &mut SocketTotals) -> io::Result<()> {
    send(socket, &unix_sockets_request(), SendFlags::empty())?;
    let mut buffer = vec![0; DUMP_BUFFER_BYTES];
    let mut sockets = vec![];
    loop {
        let (length, _) = recv(socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)?;
        if !parse_unix_sockets(&buffer[..length], &mut sockets) {
            break;
        }
    }
    let open: HashSet<_> = sockets.iter().map(|socket| socket.inode).collect();
    for socket in &sockets {
        totals.sockets += 1;
        totals.bytes += u64::from(socket.sent_bytes);
        if socket.unread_bytes > 0 && !open.contains(&socket.peer) {
            // The closed sender exists as long as its bytes do.
            totals.sockets += 1;
            totals.bytes += u64::from(socket.unread_bytes);
        }
    }
    Ok(())
}

/// A request for a list of all unix sockets (`unix_diag_req`).
fn unix_sockets_request() -> Vec<u8> {
    let show = UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_MEMINFO;
    let (family, all_states, any_inode) = ([libc::AF_UNIX as u8, 0, 0, 0], u32::MAX, 0u32);
    let no_cookie = u32::MAX.to_ne_bytes();
    let numbers = [all_states, any_inode, show].map(u32::to_ne_bytes);
    let body = [&[family], &numbers[..], &[no_cookie, no_cookie]].concat();
    let body = body.as_flattened();
    let mut request = ((MESSAGE_HEADER_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST_AND_DUMP.to_ne_bytes());
    request.extend([0; 8]); // sequence and port, which a single answer does not need
    request.extend(body);
    request
}

/// Appends the sockets in one datagram of the list. Returns whether more datagrams follow.
fn parse_unix_sockets(mut datagram: &[u8], sockets: &mut Vec<UnixSocket>) -> bool {
    while let Some((message, rest)) = split_record(datagram, |head| u32_at(head, 0)) {
        if [NLMSG_DONE, NLMSG_ERROR].contains(&u16_at(message, 4).unwrap_or(NLMSG_ERROR)) {
            return false;
        }
        let fixed = message.get(MESSAGE_HEADER_BYTES..).unwrap_or_default();
        let state = fixed.get(2).copied();
        let mut socket = UnixSocket { inode: u32_at(fixed, 4).unwrap_or(0), ..UnixSocket::default() };
        let mut attributes = fixed.get(UNIX_SOCKET_BYTES..).unwrap_or_default();
        while let Some((attribute, rest)) = split_record(attributes, |head| u16_at(head, 0).map(u32::from)) {
            let number = |index: usize| u32_at(attribute, 4 + 4 * index).unwrap_or(0);
            match u16_at(attribute, 2) {
                Some(UNIX_DIAG_PEER) => socket.peer = number(0),
                Some(UNIX_DIAG_RQLEN) if state != Some(LISTENING) => socket.unread_bytes = number(0),
                Some(UNIX_DIAG_MEMINFO) => socket.sent_bytes = number(WMEM_ALLOC_INDEX),
                _ => {}
            }
            attributes = rest;
        }
        sockets.push(socket);
        datagram = rest;
    }
    true
}

fn u16_at(bytes: &[u8], index: usize) -> Option<u16> {
    let bytes = bytes.get(index..)?.first_chunk::<2>()?;
    Some(u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], index: usize) -> Option<u32> {
    let bytes = bytes.get(index..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*bytes))
}

/// Splits off the first record, whose length `length` reads, and the padding to four bytes after
/// it. Returns `None` without a complete record.
fn split_record(bytes: &[u8], length: impl Fn(&[u8]) -> Option<u32>) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(length(bytes)?).ok()?;
    if length < 4 || length > bytes.len() {
        return None;
    }
    let rest = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    Some((&bytes[..length], rest))
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn what_waits_in_a_unix_socket_is_measured() {
        let probe = KernelMemoryProbe::from_descriptors(KernelMemoryProbe::open().unwrap()).unwrap();
        let totals = || {
            let mut totals = SocketTotals::default();
            add_unix_sockets(probe.sockets.as_ref().unwrap().as_fd(), &mut totals).unwrap();
            totals
        };
        let (mut one, other) = UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        while one.write(&[0; 4096]).is_ok() {}
        assert!(totals().sockets >= 2, "{:?}", totals());
        assert!(totals().bytes > 100_000, "{:?}", totals());
        assert!(probe.sockets_kib(std::process::id() as i32) > 100);
        drop(one);
        assert!(totals().bytes > 100_000, "{:?}", totals());
        drop(other);
    }

    #[test]
    fn queues_of_internet_sockets_are_summed() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr\n\
                    0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:0\n\
                    1: 0100007F:1F90 0100007F:1F91 01 00000010:00000020 00:0\n";
        let mut totals = SocketTotals::default();
        add_inet_sockets(text, &mut totals);
        assert_eq!(totals, SocketTotals { sockets: 2, bytes: 0x30 });
        assert_eq!(number_after("sockets: used 7\nTCP: inuse 3 orphan 0\n", "TCP: inuse"), 3);
    }

    #[test]
    fn a_damaged_list_adds_nothing() {
        let mut sockets = vec![];
        for bytes in [&[][..], &[1, 0, 0, 0], &[255, 255, 255, 255, 0, 0], &[0; 40]] {
            assert!(parse_unix_sockets(bytes, &mut sockets));
        }
        assert_eq!(sockets, []);
    }
}
