//! Measures memory in the buffers of sockets that no cgroup charges to a sandbox, although one
//! limits its memory: answers that wait in netlink sockets, and UDP data that a program holds back
//! (`MSG_MORE` in send(2)). The kernel bounds it for each socket only.

use super::socket_list::{is_cut, read};

/// The assumed contents of a socket, in bytes, if there are too many sockets to list them all.
const UNLISTED_SOCKET_BYTES: u64 = 16 * 1024;

/// Memory in the buffers of the sandbox with this init, in bytes.
pub(crate) fn socket_bytes(init: i32) -> u64 {
    let counts = read(init, "sockstat");
    if has_no_socket(&counts) {
        return 0; // as most sandboxes
    }
    let [udp, udp6, netlink] = ["udp", "udp6", "netlink"].map(|name| read(init, name));
    let listed_bytes = held_back_bytes(&udp) + held_back_bytes(&udp6) + netlink_bytes(&netlink);
    let lists = [udp, udp6, netlink];
    if !lists.iter().any(|list| is_cut(list)) {
        return listed_bytes;
    }
    let listed: usize = lists.iter().map(|list| list.lines().count()).sum();
    listed_bytes + used_sockets(&counts).saturating_sub(listed as u64) * UNLISTED_SOCKET_BYTES
}

/// The number of sockets of all kinds in the text of `/proc/net/sockstat`.
fn used_sockets(text: &str) -> u64 {
    let used = text.lines().find_map(|line| line.strip_prefix("sockets: used ")?.trim().parse().ok());
    used.unwrap_or(0)
}

/// Whether the text of `/proc/net/sockstat` shows no socket.
fn has_no_socket(text: &str) -> bool {
    text.lines().any(|line| line == "sockets: used 0")
}

/// Sums the receive and send buffers in the text of `/proc/net/netlink`, its fifth and sixth
/// columns.
pub(super) fn netlink_bytes(text: &str) -> u64 {
    let columns = text.lines().flat_map(|line| line.split_whitespace().skip(4).take(2));
    columns.filter_map(|column| column.parse::<u64>().ok()).sum()
}

/// Sums the send queues in the text of `/proc/net/udp`: the first half of the fifth column, in
/// hexadecimal digits. The receive queues are charged.
fn held_back_bytes(text: &str) -> u64 {
    let queues = text.lines().filter_map(|line| line.split_whitespace().nth(4)?.split_once(':'));
    queues.filter_map(|(sent, _)| u64::from_str_radix(sent, 16).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_summed() {
        let netlink = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
                       00000000f7a1 0   1073       00000551 4352     0        0     2        0        17\n\
                       00000000f7a2 0   4294       00000000 100      3        0     2        0        18\n";
        assert_eq!(netlink_bytes(netlink), 4455);
        let udp = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
                   1: 0100007F:A1B2 0100007F:0009 01 00000100:00000020 00:00000000 00000000     0\n";
        assert_eq!(held_back_bytes(udp), 256);
        assert!(has_no_socket("sockets: used 0\nTCP: inuse 0\n") && !has_no_socket("sockets: used 1\n"));
        assert!(!has_no_socket(""));
    }
}
