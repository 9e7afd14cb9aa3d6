//! Measures how fast a program's output is split into entries.
#![allow(missing_docs)] // criterion's macros generate functions

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use livecode_supervisor::bench::split;

fn splitter(criterion: &mut Criterion) {
    let lines = "0123456789 abcdefghijklmnopqrstuvwxyz\n".repeat(1700);
    let characters = "Grüße an alle, die das hier lesen: ☃\n".repeat(1700);
    let messages = "--MSG-- {\"msgtype\":\"draw\",\"shape\":\"circle\",\"args\":[100,100,50]}\n".repeat(1000);
    let mut group = criterion.benchmark_group("splitter");
    for (name, text) in [("ASCII lines", lines), ("other characters", characters), ("messages", messages)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let text = bytes::Bytes::from(text);
        group.bench_function(name, |bencher| bencher.iter(|| split(text.clone())));
    }
    group.finish();
}

criterion_group!(benches, splitter);
criterion_main!(benches);
