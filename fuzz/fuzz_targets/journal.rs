#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| livecode_journal::fuzz::journal(&livecode_fuzz::FOLDER, data));
