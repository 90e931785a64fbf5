//! Writing a target's first inputs into its folder of the corpus.

use std::path::Path;

/// The first inputs of a target, each with the name of its file.
#[derive(Debug, Default)]
pub struct Seeds(Vec<(String, Vec<u8>)>);

impl Seeds {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    pub fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.into(), bytes.into()));
    }
}

impl<const COUNT: usize> From<[(&str, Vec<u8>); COUNT]> for Seeds {
    fn from(seeds: [(&str, Vec<u8>); COUNT]) -> Self {
        Self(seeds.into_iter().map(|(name, bytes)| (name.into(), bytes)).collect())
    }
}

/// Writes the seeds into the folder that `POLLUX_SEEDS` names, and ends the process. Without that
/// variable nothing happens: the process goes on to fuzz.
///
/// # Panics
/// When they cannot be written.
pub fn write_if_asked(seeds: &Seeds) {
    let Some(folder) = std::env::var_os("POLLUX_SEEDS") else { return };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).expect("the folder can be made");
    for (name, bytes) in &seeds.0 {
        std::fs::write(folder.join(name), bytes).expect("a seed can be written");
    }
    std::process::exit(0);
}
