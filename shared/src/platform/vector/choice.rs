//! Which way is taken, and how it is found.

use core::arch::x86_64::{_mm_clflush, _mm_mfence, _rdtsc};
use core::hint::black_box;
use core::sync::atomic::{AtomicU8, Ordering};

use super::aegis::CipherMethod;
use super::compare::{self, CompareMethod};
use super::copy::{self, CopyMethod};
use super::features::{has_avx2, has_vaes};
use crate::limits::PAGE_SIZE;

/// Pages that are worked on per measurement: what a prefetch gains is lost on a single one.
const PAGE_COUNT: usize = 4;
/// Measurements of each way; the fastest counts, since a busy machine only ever adds.
const ROUND_COUNT: usize = 5;
/// A copy through the caches counts so many times: the lines that it leaves there are written back
/// later, by whoever needs their room, which so short a measurement does not see. Over memory that
/// no cache holds it takes twice the time of a streaming copy.
const CACHED_COPY_WEIGHT: u64 = 2;

/// The method that is in use.
pub struct Chosen<T>(AtomicU8, core::marker::PhantomData<T>);

macro_rules! chosen {
    ($name:ident: $method:ident = [$first:ident, $($other:ident),*]) => {
        pub static $name: Chosen<$method> =
            Chosen(AtomicU8::new($method::$first as u8), core::marker::PhantomData);

        impl Chosen<$method> {
            /// The method in use.
            pub fn get(&self) -> $method {
                match self.0.load(Ordering::Relaxed) {
                    $(number if number == $method::$other as u8 => $method::$other,)*
                    _ => $method::$first,
                }
            }

            fn set(&self, method: $method) {
                self.0.store(method as u8, Ordering::Relaxed);
            }
        }
    };
}

chosen!(COPY: CopyMethod = [String, Words, Avx2Stream]);
chosen!(COMPARISON: CompareMethod = [Words, Avx2]);
chosen!(CIPHER: CipherMethod = [Aes, Vaes]);

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    copy: CopyMethod,
    comparison: CompareMethod,
    cipher: CipherMethod,
}

/// Aligned to lines only: with the alignment of a page, rustc 1.95 lost the prologue of a function that had
/// these on its stack and looked at the processor first.
#[repr(align(64))]
struct Pages([[u8; PAGE_SIZE]; PAGE_COUNT]);

/// Measures the ways that this processor has, some tens of microseconds each, and uses the fastest
/// ones from now on, in this process and in those that split off it later.
pub fn choose() -> Choices {
    let has_avx2 = has_avx2();
    let copies =
        [(CopyMethod::String, true), (CopyMethod::Words, true), (CopyMethod::Avx2Stream, has_avx2)];
    let comparisons = [(CompareMethod::Words, true), (CompareMethod::Avx2, has_avx2)];
    let source = Pages([[1; PAGE_SIZE]; PAGE_COUNT]);
    let mut target = Pages([[0; PAGE_SIZE]; PAGE_COUNT]);
    let choices = Choices {
        copy: fastest(copies, |method| {
            let weight = if method.is_streaming() { 1 } else { CACHED_COPY_WEIGHT };
            weight * copy_cycles(method, &source, &mut target)
        }),
        comparison: fastest(comparisons, |method| compare_cycles(method, &source)),
        // Not measured: where it is emulated, it is the same rounds of AES in half as many instructions.
        cipher: if has_vaes() { CipherMethod::Vaes } else { CipherMethod::Aes },
    };
    COPY.set(choices.copy);
    COMPARISON.set(choices.comparison);
    CIPHER.set(choices.cipher);
    choices
}

/// Of the methods that can be used, the one that took the fewest cycles.
fn fastest<M: Copy, const COUNT: usize>(
    methods: [(M, bool); COUNT],
    mut cycles: impl FnMut(M) -> u64,
) -> M {
    let mut least = [u64::MAX; COUNT];
    // In turns, so that a disturbance meets all alike.
    for _ in 0..ROUND_COUNT {
        for ((method, usable), least) in methods.into_iter().zip(&mut least) {
            if usable {
                *least = (*least).min(cycles(method));
            }
        }
    }
    let (fastest, _) = (0..COUNT)
        .map(|place| (place, least[place]))
        .min_by_key(|it| it.1)
        .expect("there is more than one method");
    methods[fastest].0
}

fn copy_cycles(method: CopyMethod, source: &Pages, target: &mut Pages) -> u64 {
    [source, target].into_iter().for_each(forget);
    let start = cycles();
    for (source, target) in source.0.iter().zip(&mut target.0) {
        copy::run(method, source.as_ptr(), target.as_mut_ptr());
    }
    cycles() - start
}

fn compare_cycles(method: CompareMethod, pages: &Pages) -> u64 {
    let start = cycles();
    for page in &pages.0 {
        black_box(compare::differing_words(method, page, black_box(&pages.0[0])));
    }
    cycles() - start
}

/// Takes pages out of the caches: where a guest's pages and a ring's slots mostly are not.
fn forget(pages: &Pages) {
    for line in pages.0.as_flattened().iter().step_by(64) {
        // SAFETY: a line of memory that is borrowed; no byte is changed.
        unsafe { _mm_clflush(core::ptr::from_ref(line)) };
    }
    fence();
}

fn cycles() -> u64 {
    fence();
    // SAFETY: every x86-64 processor has the counter; Linux lets programs read it.
    unsafe { _rdtsc() }
}

/// Waits until everything before is done with the memory.
fn fence() {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { _mm_mfence() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_used_is_chosen_and_the_fastest_of_it() {
        let methods = [(1, true), (2, false), (3, true), (4, true)];
        let cost = |method| [0, 9, 1, 5, 7][method];
        assert_eq!(fastest(methods, cost), 3);
    }

    #[test]
    fn what_is_chosen_is_used() {
        let choices = choose();
        let in_use =
            Choices { copy: COPY.get(), comparison: COMPARISON.get(), cipher: CIPHER.get() };
        assert_eq!(in_use, choices);
    }
}
