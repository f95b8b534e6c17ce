#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tallystick_fuzz::row_decode(data));
