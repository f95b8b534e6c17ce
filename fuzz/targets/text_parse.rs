#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tallystick_fuzz::text_parse(data));
