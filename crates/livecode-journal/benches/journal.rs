//! Measures how fast a journal is written and read. Small entries show the cost of an entry, and
//! large entries show the cost of a byte.
#![allow(missing_docs)] // criterion's macros generate functions

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use livecode_journal::{Kind, Reader, Writer};

/// Bytes that each case writes or reads.
const TOTAL_BYTES: usize = 1 << 20;
const SIZES_BYTES: [usize; 2] = [80, 64 * 1024];

fn write(writer: &mut Writer, size: usize) {
    let data = vec![b'x'; size];
    for count in 1..=TOTAL_BYTES / size {
        writer.push(Kind::Stdout, 0, &data);
        // The supervisor also flushes once for a batch of entries that it has read from the pipes.
        if count % 64 == 0 {
            let _ = writer.flush(); // dropped entries would only falsify the measurement
        }
    }
    let _ = writer.flush();
}

fn journal(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        folder.path().join(next.to_string())
    };
    for size in SIZES_BYTES {
        let mut group = criterion.benchmark_group(format!("journal, entries of {size} bytes"));
        group.throughput(Throughput::Bytes(TOTAL_BYTES as u64)).sample_size(30);
        group.bench_function("append", |bencher| {
            let setup = || {
                let path = fresh();
                (Writer::create(&path).expect("a journal"), path)
            };
            let append = |(mut writer, path): (Writer, std::path::PathBuf)| {
                write(&mut writer, size);
                (writer, std::fs::remove_file(path))
            };
            bencher.iter_batched(setup, append, BatchSize::PerIteration);
        });
        let path = fresh();
        let mut writer = Writer::create(&path).expect("a journal");
        write(&mut writer, size);
        group.bench_function("read", |bencher| {
            bencher.iter(|| {
                let mut reader = Reader::open(&path).expect("a journal");
                let mut entries = 0;
                loop {
                    let batch = reader.read(writer.written_bytes(), 128 * 1024).expect("an intact journal");
                    if batch.is_empty() {
                        break entries;
                    }
                    entries += batch.len();
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, journal);
criterion_main!(benches);
