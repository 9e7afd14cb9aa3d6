//! One binary against another, in rounds that alternate within one run. Both have the same rows as the table has, but
//! the reference of each row is the other binary, so that a change of a few per cent can be told from the noise.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::{
    client::{Connection, Creation, Run, Websocket, await_output},
    rows::{
        Bench,
        compiled::C,
        echo::echo,
        rate::{Client, rate},
        start::hello,
        stream,
    },
    server::{Server, Warm},
    stats::{median, ms, percentile},
};

/// Sessions that run beside the one that is measured in the crowded rows.
const CROWD: usize = 100;

/// What one side has measured, one figure a round.
struct Figures {
    name: &'static str,
    /// Whether a greater figure is the better one.
    is_rate: bool,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// The figures of a row's name, in the order of the table.
struct Comparison {
    all: Vec<Figures>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

impl Comparison {
    fn add(&mut self, name: &'static str, is_rate: bool, side: Side, figure: f64) {
        let known = self.all.iter().position(|figures| figures.name == name);
        let index = known.unwrap_or_else(|| {
            self.all.push(Figures { name, is_rate, ours: vec![], theirs: vec![] });
            self.all.len() - 1
        });
        let figures = &mut self.all[index];
        match side {
            Side::Ours => figures.ours.push(figure),
            Side::Theirs => figures.theirs.push(figure),
        }
    }

    /// A line for each row: both medians, the median of the rounds' ratios, and how sure that is (twice the standard
    /// error of the ratios' logarithms, in per cent).
    fn print(&self) {
        println!("{:<18} {:>10} {:>10} {:>8} {:>8}  better", "row", "ours", "theirs", "ratio", "noise");
        for Figures { name, is_rate, ours, theirs } in &self.all {
            let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
            let ratio = median(&ratios);
            let logarithms: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
            let count = logarithms.len() as f64;
            let mean = logarithms.iter().sum::<f64>() / count;
            let variance =
                logarithms.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
            let noise = 200.0 * (variance / count).sqrt();
            let gain = if *is_rate { ratio - 1.0 } else { 1.0 - ratio };
            println!(
                "{name:<18} {:>10.3} {:>10.3} {ratio:>8.3} {noise:>6.1} %  {:+.1} %",
                median(ours),
                median(theirs),
                gain * 100.0
            );
        }
    }
}

/// The servers and clients of one side.
struct Party {
    side: Side,
    warm: Server,
    cold: Server,
    warm_client: Connection,
    cold_client: Connection,
    compiled: Creation,
}

impl Party {
    fn start(side: Side, binary: &Path) -> Result<Self> {
        let (warm, cold) = (Server::start(binary, Warm::Default)?, Server::start(binary, Warm::Off)?);
        let mut warm_client = Connection::connect(warm.address())?;
        let cold_client = Connection::connect(cold.address())?;
        let compiled = Creation::new(&json!({"runtime": "c", "code": C.replace("NUMBER", "0")}));
        warm_client.run(&compiled)?; // from here on it is compiled
        Ok(Self { side, warm, cold, warm_client, cold_client, compiled })
    }
}

/// Measures both binaries and prints how they compare.
pub fn compare(bench: &Bench, other: &Path, rounds: usize) -> Result<()> {
    let mut parties = [Party::start(Side::Ours, &bench.binary)?, Party::start(Side::Theirs, other)?];
    let mut comparison = Comparison { all: vec![] };
    type Measure = fn(&Bench, &mut Party, &mut Comparison) -> Result<()>;
    let groups: [(&str, Measure); 7] = [
        ("exit", warm_starts),
        ("exit-cold", cold_starts),
        ("rate", warm_rate),
        ("rate-cold", cold_rate),
        ("c-second-run", second_runs),
        ("stream", streams),
        ("echo", echoes),
    ];
    for (name, measure) in groups.into_iter().filter(|(name, _)| bench.wants(name)) {
        eprintln!("comparing {name}");
        for round in 0..rounds {
            // Ours first, then theirs first: what the machine does later in a round falls on both.
            if round % 2 == 0 {
                parties.iter_mut().try_for_each(|party| measure(bench, party, &mut comparison))?;
            } else {
                parties.iter_mut().rev().try_for_each(|party| measure(bench, party, &mut comparison))?;
            }
        }
    }
    if bench.wants("exit-crowded") {
        eprintln!("comparing exit-crowded");
        for _ in 0..rounds.div_ceil(2) {
            for party in &mut parties {
                crowded(bench, party, &mut comparison)?;
            }
        }
    }
    comparison.print();
    Ok(())
}

fn exits(client: &mut Connection, creation: &Creation, samples: usize) -> Result<Vec<Run>> {
    (0..samples).map(|_| client.run(creation)).collect()
}

fn warm_starts(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    let runs = exits(&mut party.warm_client, &hello(), bench.count(200, 3))?;
    let exits: Vec<f64> = runs.iter().map(|run| ms(run.exit)).collect();
    let first: Vec<f64> = runs.iter().map(|run| ms(run.first_output)).collect();
    comparison.add("exit-p50", false, party.side, median(&exits));
    comparison.add("exit-p99", false, party.side, percentile(&exits, 0.99));
    comparison.add("first-output-p50", false, party.side, median(&first));
    Ok(())
}

fn cold_starts(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    let runs = exits(&mut party.cold_client, &hello(), bench.count(60, 3))?;
    let exits: Vec<f64> = runs.iter().map(|run| ms(run.exit)).collect();
    comparison.add("exit-cold-p50", false, party.side, median(&exits));
    Ok(())
}

fn second_runs(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    let runs = exits(&mut party.warm_client, &party.compiled, bench.count(200, 3))?;
    let exits: Vec<f64> = runs.iter().map(|run| ms(run.exit)).collect();
    comparison.add("c-second-run", false, party.side, median(&exits));
    Ok(())
}

fn rate_of(bench: &Bench, server: &Server) -> Result<f64> {
    let creation = hello();
    let client = || {
        let mut client = Connection::connect(server.address())?;
        let creation = &creation;
        Ok(Box::new(move || client.run(creation).map(drop)) as Client<'_>)
    };
    rate(std::time::Duration::from_millis(bench.count(3000, 200) as u64), client)
}

fn warm_rate(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    comparison.add("rate", true, party.side, rate_of(bench, &party.warm)?);
    Ok(())
}

fn cold_rate(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    comparison.add("rate-cold", true, party.side, rate_of(bench, &party.cold)?);
    Ok(())
}

fn streams(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    let mut rates = vec![];
    for _ in 0..bench.count(3, 1) {
        rates.push(stream::run_once(bench, &mut party.warm_client, party.warm.address())?);
    }
    comparison.add("stream", true, party.side, median(&rates));
    Ok(())
}

fn echoes(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    // A session of its own for each round: between its rounds a client of the bench answers no ping.
    let cat = json!({"runtime": "bash", "command": ["cat"], "code": ""});
    let id = party.warm_client.create(&Creation::new(&cat))?;
    let mut websocket = Websocket::open(party.warm.address(), &format!("/sessions/{id}/stream"))?;
    let mut took = vec![];
    for _ in 0..bench.count(700, 5) {
        took.push(ms(echo(&mut websocket)?));
        // As somebody types: not before the last one is seen, and not at once.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    comparison.add("echo-p50", false, party.side, median(&took));
    comparison.add("echo-p99", false, party.side, percentile(&took, 0.99));
    party.warm_client.delete(&id)
}

fn crowded(bench: &Bench, party: &mut Party, comparison: &mut Comparison) -> Result<()> {
    let sleeper =
        json!({"runtime": "bash", "code": "", "command": ["bash", "-c", "echo up; exec sleep 3600"]});
    let sleeper = Creation::new(&sleeper);
    let count = bench.count(CROWD, 4);
    let ids = (0..count).map(|_| party.warm_client.create(&sleeper)).collect::<Result<Vec<_>>>()?;
    ids.iter().try_for_each(|id| await_output(party.warm.address(), id))?;
    let runs = exits(&mut party.warm_client, &hello(), bench.count(100, 3))?;
    let exits: Vec<f64> = runs.iter().map(|run| ms(run.exit)).collect();
    comparison.add("exit-crowded-p50", false, party.side, median(&exits));
    ids.iter().try_for_each(|id| party.warm_client.delete(id))
}
