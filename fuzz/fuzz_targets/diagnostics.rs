#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| livecode_supervisor::fuzz::diagnostics(data));
