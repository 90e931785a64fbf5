//! What the targets have in common.
//!
//! A target is a program that libFuzzer drives: it gets bytes, does with them what an enemy or a fault
//! could, and panics if anything comes of it that must not. Its first inputs are made by the target
//! itself, with the code that writes such bytes in earnest, so that fuzzing starts deep.

pub mod backup;
pub mod hostile;
pub mod input;
pub mod peer;
pub mod primary;
pub mod sample;
pub mod seeds;
pub mod twin;

/// Makes a program of a function that makes the first inputs, and one that tries an input.
#[macro_export]
macro_rules! target {
    ($seeds:path, $try:path) => {
        ::libfuzzer_sys::fuzz_target!(
            init: $crate::seeds::write_if_asked(&$seeds()),
            |data: &[u8]| $try(data)
        );
    };
}
