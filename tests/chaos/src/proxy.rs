//! Between client and server: connections that end in the middle, at a byte that nobody chose.

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

/// How many bytes a connection passes on the average before it is cut.
const MEAN_BYTES: f64 = 12_000.0;
/// How long the server may be away before a client is turned away too.
const CONNECT_PATIENCE: Duration = Duration::from_millis(50);

/// A proxy to one server.
pub struct Proxy {
    address: String,
    cuts: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens, and cuts up to `cuts_max` connections.
    pub async fn start(to: &str, cuts_max: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let cuts = Arc::new(AtomicU64::new(0));
        let (to, count) = (to.to_owned(), cuts.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let budget = (-fastrand::f64().max(1e-9).ln() * MEAN_BYTES) as u64;
                tokio::spawn(pass(client, to.clone(), budget, count.clone(), cuts_max));
            }
        });
        Ok(Self { address, cuts, task })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes both ways until one side ends, or the budget does.
async fn pass(mut client: TcpStream, to: String, mut budget: u64, cuts: Arc<AtomicU64>, cuts_max: u64) {
    let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(&to)).await else {
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
        let is_cut = length as u64 > budget && take_one(&cuts, cuts_max);
        let length = if is_cut { budget as usize } else { length };
        budget = budget.saturating_sub(length as u64);
        let written = match is_up {
            true => server.write_all(&up[..length]).await,
            false => client.write_all(&down[..length]).await,
        };
        if is_cut && fastrand::bool() {
            // Half of them in the rudest way: with a reset, which takes along what is still on its way.
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        if is_cut || written.is_err() {
            return;
        }
    }
}

fn take_one(cuts: &AtomicU64, max: u64) -> bool {
    cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1))
        .is_ok()
}
