//! Tells systemd that the server listens (sd_notify(3)), so that `systemctl start` returns only when
//! clients can connect.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Reports readiness to the service manager that started the server, if there is one.
pub fn notify() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return };
    if let Err(error) = send(&path) {
        tracing::warn!(%error, "systemd cannot be told that the server listens");
    }
}

fn send(path: &OsStr) -> io::Result<()> {
    // A name that begins with '@' is abstract.
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}
