//! Any bytes as an LTX file.

#![no_main]

#[path = "../../tests/fuzz/bodies.rs"]
#[expect(dead_code, reason = "each target has one body")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::ltx(data));
