//! Messages on a Unix socket with descriptors attached (unix(7), `SCM_RIGHTS`).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::retry_on_intr,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};

/// The maximum number of descriptors of one message.
pub const MAX_DESCRIPTORS: usize = 16;

/// Sends `bytes` as one message with `descriptors` attached, of which there may be none and at
/// most [`MAX_DESCRIPTORS`]. `flags` may be empty, or [`SendFlags::DONTWAIT`] to fail instead of
/// waiting. `MSG_NOSIGNAL` is always added, so that a closed peer is an error and raises no
/// signal. The call is retried if a signal interrupts it.
///
/// # Errors
/// `InvalidInput` for too many descriptors, and the errors of sendmsg(2): `EPIPE` if the peer is
/// closed, `WouldBlock` with [`SendFlags::DONTWAIT`] or after the send timeout of the socket.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = flags | SendFlags::NOSIGNAL;
    Ok(retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, flags)).map(drop)?)
}

/// Receives one message into `bytes`. Returns its length, which is 0 once the peer is closed, and
/// the descriptors attached to it, all of them close-on-exec. `flags` may be empty, or
/// [`RecvFlags::DONTWAIT`] to fail instead of waiting. A message longer than `bytes` is truncated.
/// The call is retried if a signal interrupts it.
///
/// # Errors
/// The errors of recvmsg(2): `WouldBlock` with [`RecvFlags::DONTWAIT`] or after the receive
/// timeout of the socket.
pub fn receive(socket: impl AsFd, bytes: &mut [u8], flags: RecvFlags) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags))?;
    let mut descriptors = vec![];
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(attached) = message {
            descriptors.extend(attached);
        }
    }
    Ok((received.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (left, right) = UnixDatagram::pair().unwrap();
        let too_many = [left.as_fd(); 2 * MAX_DESCRIPTORS];
        assert!(send(&left, b"x", &too_many, SendFlags::empty()).is_err());
        for count in [0, 2, MAX_DESCRIPTORS] {
            send(&left, b"bytes", &too_many[..count], SendFlags::DONTWAIT).unwrap();
            let mut bytes = [0; 8];
            let (length, descriptors) = receive(&right, &mut bytes, RecvFlags::DONTWAIT).unwrap();
            assert_eq!((&bytes[..length], descriptors.len()), (&b"bytes"[..], count));
        }
        let error = receive(&right, &mut [0], RecvFlags::DONTWAIT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
