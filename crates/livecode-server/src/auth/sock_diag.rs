//! Asks the kernel which user owns the other end of a TCP connection inside this machine
//! (sock_diag(7)).

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, getpeername, getsockname,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        recv, sendto, socket_with,
    },
    process::geteuid,
};

// The numbers and layouts are those of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
/// Length of a `struct nlmsghdr`, in bytes.
const HEADER_BYTES: usize = 16;
/// Length of a `struct inet_diag_req_v2`, in bytes.
const REQUEST_BYTES: usize = 56;
/// Where fields of a `struct inet_diag_msg` are in an answer.
const STATE_AT: usize = HEADER_BYTES + 1;
const UID_AT: usize = HEADER_BYTES + 64;
const INODE_AT: usize = HEADER_BYTES + 68;
/// Larger than any answer about one socket, in bytes.
const ANSWER_BYTES: usize = 4096;

/// The states of a socket that is connected, or was until one side stopped writing
/// (`ESTABLISHED`, `FIN_WAIT1`, `FIN_WAIT2` and `CLOSE_WAIT`, net/tcp_states.h).
const CONNECTED_STATES: [u8; 4] = [1, 4, 5, 8];

/// A netlink socket that asks about TCP sockets.
#[derive(Debug)]
pub struct SockDiag {
    /// The socket, and the number of the last question.
    netlink: Mutex<(OwnedFd, u32)>,
}

impl SockDiag {
    /// Opens the socket, and tries it on a connection of this process with itself.
    ///
    /// # Errors
    /// If the kernel does not answer such questions here, or not truthfully.
    pub fn open() -> io::Result<Self> {
        let netlink =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        let diag = Self { netlink: Mutex::new((netlink, 0)) };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let _client = TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept()?;
        match diag.peer_uid(&stream)? {
            Some(uid) if uid == geteuid().as_raw() => Ok(diag),
            _ => Err(io::Error::other("the kernel does not tell whose a connection is")),
        }
    }

    /// The user whose process has the other end of a connection inside this network namespace.
    /// `None` if no process has it any more: it was closed, or the connection is broken.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn peer_uid(&self, stream: &impl AsFd) -> io::Result<Option<u32>> {
        let own = SocketAddr::try_from(getsockname(stream)?).map_err(io::Error::from)?;
        let Some(peer) = peer_address(stream) else { return Ok(None) };
        let uid = self.owner_of(peer, own)?;
        // A broken connection frees its addresses for a new one, perhaps of another user. As the
        // connection exists after the answer, the answer was about its other end.
        Ok(uid.filter(|_| peer_address(stream).is_some()))
    }

    /// The user of the connected socket with these addresses.
    fn owner_of(&self, own: SocketAddr, peer: SocketAddr) -> io::Result<Option<u32>> {
        let mut netlink = self.netlink.lock().unwrap_or_else(PoisonError::into_inner);
        let (socket, number) = &mut *netlink;
        *number = number.wrapping_add(1);
        sendto(&*socket, &request(own, peer, *number), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut bytes = [0; ANSWER_BYTES];
        loop {
            // The kernel answers before sendto(2) returns, so nothing is waited for.
            let (length, _) = recv(&*socket, &mut bytes[..], RecvFlags::DONTWAIT)?;
            let answer = &bytes[..length];
            if number_at(answer, 8) == Some(*number) {
                return parse(answer);
            }
            // This answers an earlier question, which failed in between.
        }
    }
}

/// The address of the other end; `None` if the connection is broken.
fn peer_address(stream: &impl AsFd) -> Option<SocketAddr> {
    SocketAddr::try_from(getpeername(stream).ok()??).ok()
}

/// A question about the socket that is bound to `own` and connected to `peer`.
fn request(own: SocketAddr, peer: SocketAddr, number: u32) -> Vec<u8> {
    let family = match own {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let address = |address: IpAddr| match address {
        IpAddr::V4(address) => [&address.octets()[..], &[0; 12]].concat(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + REQUEST_BYTES);
    bytes.extend(((HEADER_BYTES + REQUEST_BYTES) as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend([0; 4]); // the sender
    bytes.extend([family.as_raw() as u8, IPPROTO_TCP, 0, 0]);
    bytes.extend([0xff; 4]); // sockets in all states
    bytes.extend(own.port().to_be_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(address(own.ip()));
    bytes.extend(address(peer.ip()));
    bytes.extend([0; 4]); // on any interface
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

/// The user in an answer; `None` if there is no such socket, or no process has it.
fn parse(answer: &[u8]) -> io::Result<Option<u32>> {
    let kind = answer.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    match kind {
        Some(SOCK_DIAG_BY_FAMILY) => {
            let is_connected = answer.get(STATE_AT).is_some_and(|state| CONNECTED_STATES.contains(state));
            // A socket without an inode was closed by its process. Its user is then given as 0.
            let has_process = number_at(answer, INODE_AT).is_some_and(|inode| inode != 0);
            Ok(number_at(answer, UID_AT).filter(|_| is_connected && has_process))
        }
        Some(NLMSG_ERROR) => {
            let errno = number_at(answer, HEADER_BYTES).unwrap_or_default() as i32;
            let error = io::Error::from_raw_os_error(errno.wrapping_neg());
            if Errno::from_io_error(&error) == Some(Errno::NOENT) { Ok(None) } else { Err(error) }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The number of four bytes at `offset`; `None` if the answer is shorter.
fn number_at(answer: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(answer.get(offset..offset + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of a connection over `address`: the client's and the server's.
    fn connection(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn the_user_of_an_open_peer_is_known() {
        let diag = SockDiag::open().unwrap();
        let own = Some(geteuid().as_raw());
        for address in ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"] {
            let (client, server) = connection(address);
            assert_eq!(diag.peer_uid(&server).unwrap(), own, "{address}");
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(diag.peer_uid(&server).unwrap(), own, "{address}, half closed");
        }
    }

    #[test]
    fn a_closed_or_broken_connection_has_no_user() {
        let diag = SockDiag::open().unwrap();
        let (client, server) = connection("127.0.0.1:0");
        drop(client);
        assert_eq!(diag.peer_uid(&server).unwrap(), None, "its socket lingers as root's");
        let (client, server) = connection("127.0.0.1:0");
        let (own, peer) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
        rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
        drop(client); // the connection is reset
        assert_eq!(diag.peer_uid(&server).unwrap(), None);
        assert_eq!(diag.owner_of(peer, own).unwrap(), None);
    }

    #[test]
    fn answers_of_any_length_are_parsed() {
        let mut answer = vec![0; 88];
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        answer[STATE_AT] = 1;
        answer[UID_AT] = 7;
        assert_eq!(parse(&answer).unwrap(), None, "no inode");
        answer[INODE_AT] = 1;
        assert_eq!(parse(&answer).unwrap(), Some(7));
        answer[STATE_AT] = 10;
        assert_eq!(parse(&answer).unwrap(), None, "a listener");
        for length in 0..answer.len() {
            assert!(!matches!(parse(&answer[..length]), Ok(Some(_))), "{length}");
        }
    }
}
