//! V8's values, one and a stream of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::structured(input));
