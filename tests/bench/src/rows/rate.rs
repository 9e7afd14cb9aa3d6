//! How many small programs run per second, eight at a time.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::start::{HELLO, hello_request};
use crate::{
    client::Connection,
    options::BenchOptions,
    reference::{self, PYTHON, Program},
    server::{Server, WarmSandboxes},
    table::{Row, Target, Unit},
};

/// The names of the rows.
pub const NAMES: [&str; 2] = ["rate", "rate-cold"];

/// How many clients run programs at once.
const CLIENTS: usize = 8;

/// The action that one client repeats.
pub type Client<'a> = Box<dyn FnMut() -> Result<()> + Send + 'a>;

/// Repeats an action on `CLIENTS` threads for `time`, and returns how often it was done per
/// second. `client` makes the action of each thread.
pub fn rate<'a>(time: Duration, client: impl Fn() -> Result<Client<'a>>) -> Result<f64> {
    let clients = (0..CLIENTS).map(|_| client()).collect::<Result<Vec<_>>>()?;
    let (done, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let (count, took) = std::thread::scope(|scope| {
        let (done, is_over) = (&done, &is_over);
        let run = |mut client: Client<'a>| {
            scope.spawn(move || -> Result<()> {
                while !is_over.load(Ordering::Relaxed) {
                    client()?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let threads: Vec<_> = clients.into_iter().map(run).collect();
        std::thread::sleep(time);
        let counted = (done.load(Ordering::Relaxed), began.elapsed());
        is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        anyhow::Ok(counted)
    })?;
    Ok(count as f64 / took.as_secs_f64())
}

/// Measures sessions per second with and without warm sandboxes, beside bare programs.
pub fn measure(options: &BenchOptions) -> Result<Vec<Row>> {
    let program = Program::new("hello.py", HELLO)?;
    let (warm, cold) = (
        Server::start(&options.binary, WarmSandboxes::Default)?,
        Server::start(&options.binary, WarmSandboxes::Off)?,
    );
    let request = hello_request();
    let ours = |server: &Server| {
        let mut client = Connection::connect(server.address())?;
        let request = &request;
        Ok(Box::new(move || client.run(request).map(drop)) as Client<'_>)
    };
    let bare = || {
        let path = &program.path;
        let run = move || reference::run(Command::new(PYTHON).arg(path)).map(drop);
        Ok(Box::new(run) as Client<'_>)
    };
    let time = Duration::from_millis(options.count(10_000, 300) as u64);
    let (mut warm_rates, mut bare_rates, mut cold_rates) = (vec![], vec![], vec![]);
    for _ in 0..options.count(3, 2) {
        warm_rates.push(rate(time, || ours(&warm))?);
        bare_rates.push(rate(time, bare)?);
        if options.selects("rate-cold") {
            cold_rates.push(rate(time, || ours(&cold))?);
        }
    }
    let row = |name, what: &str, ours, target| Row {
        name,
        what: what.to_owned(),
        unit: Unit::PerSecond,
        ours,
        reference: bare_rates.clone(),
        reference_name: "bare, 8 at a time".into(),
        target,
        note: String::new(),
    };
    Ok(vec![
        row(NAMES[0], "sessions a second, 8 clients, 30 s", warm_rates, Target::RatioAtLeast(2.0)),
        row(NAMES[1], "the same with warm starts off", cold_rates, Target::RatioAtLeast(0.7)),
    ])
}
