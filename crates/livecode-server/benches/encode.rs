//! Measures how fast entries are encoded as messages of a stream.
#![allow(missing_docs)] // criterion's macros generate public functions without documentation

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use livecode_journal::{Entry, Kind};
use livecode_server::bench::message;

fn encode(criterion: &mut Criterion) {
    let line = b"0123456789 abcdefghijklmnopqrstuvwxyz\n";
    let draw = br#"{"msgtype":"draw","shape":"circle","args":[100,100,50]}"#;
    let mut group = criterion.benchmark_group("encode");
    for (name, kind, data) in [
        ("one line", Kind::Stdout, line.to_vec()),
        ("64 KiB of lines", Kind::Stdout, line.repeat(64 * 1024 / line.len())),
        ("64 KiB that are not text", Kind::Stdout, vec![0xff; 64 * 1024]),
        ("a program's message", Kind::Message, draw.to_vec()),
    ] {
        let entry = Entry { seq: 7, time_us: 0, kind, data: data.into() };
        group.throughput(Throughput::Bytes(entry.data.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| message(&entry)));
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
