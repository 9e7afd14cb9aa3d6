#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| livecode_image::fuzz::image_archive(&livecode_fuzz::FOLDER, data));
