#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    livecode_protocol::fuzz::documents(data);
    livecode_supervisor::fuzz::connection(data);
});
