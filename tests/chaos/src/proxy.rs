//! A TCP proxy between client and server that cuts connections at random bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The mean number of bytes that a connection transfers before it is cut.
const MEAN_BYTES: f64 = 12_000.0;
/// Timeout of the connection to the server. Afterwards the client's connection is closed.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(50);

/// A proxy to one server.
pub struct Proxy {
    address: String,
    cuts: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to the server at `server_address` that cuts up to `cuts_max` connections.
    pub async fn start(server_address: &str, cuts_max: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let cuts = Arc::new(AtomicU64::new(0));
        let (server_address, count) = (server_address.to_owned(), cuts.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let budget = (-fastrand::f64().max(1e-9).ln() * MEAN_BYTES) as u64;
                tokio::spawn(forward(client, server_address.clone(), budget, count.clone(), cuts_max));
            }
        });
        Ok(Self { address, cuts, task })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many connections the proxy has cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards bytes in both directions until one side ends. Cuts the connection after `budget`
/// bytes.
async fn forward(
    mut client: TcpStream,
    server_address: String,
    mut budget: u64,
    cuts: Arc<AtomicU64>,
    cuts_max: u64,
) {
    let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&server_address)).await
    else {
        return;
    };
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        let (is_up, read) = tokio::select! {
            read = client.read(&mut up) => (true, read),
            read = server.read(&mut down) => (false, read),
        };
        let Ok(length @ 1..) = read else { return };
        let is_cut = length as u64 > budget && count_cut(&cuts, cuts_max);
        let length = if is_cut { budget as usize } else { length };
        budget = budget.saturating_sub(length as u64);
        let written = match is_up {
            true => server.write_all(&up[..length]).await,
            false => client.write_all(&down[..length]).await,
        };
        if is_cut && fastrand::bool() {
            // Half of the cuts are resets, which discard the bytes that are still in flight.
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        if is_cut || written.is_err() {
            return;
        }
    }
}

/// Counts a cut. Returns `false`, without counting, once there were `max` cuts.
fn count_cut(cuts: &AtomicU64, max: u64) -> bool {
    cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1))
        .is_ok()
}
