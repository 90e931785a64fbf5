//! Waiting for a stub domain that is gone: it can be there again, as another domain with another ring.

use super::finding::{FoundStubDomain, Wanted, find_now};
use crate::limits::STUB_DOMAIN_RETRY_MS;
use crate::platform::linux::clock;
use crate::platform::linux::key_file::read_key_file;
use crate::platform::linux::xenbus::open_xenstore;
use crate::start::StartError;
use crate::text::FixedText;
use crate::wire::SecretKey;
use crate::xen::Xen;

/// The wait for a stub domain, one try after the other. Why a try failed is told once.
#[derive(Debug)]
pub struct Returning<'a> {
    wanted: Wanted<'a>,
    key_file: &'a str,
    store_answer_ms_max: u32,
    told: Option<FixedText<200>>,
}

impl<'a> Returning<'a> {
    /// A wait for the stub domain that is `wanted`. Xenstore may take `store_answer_ms_max` milliseconds for an
    /// answer.
    #[must_use]
    pub const fn new(wanted: Wanted<'a>, key_file: &'a str, store_answer_ms_max: u32) -> Self {
        Self { wanted, key_file, store_answer_ms_max, told: None }
    }

    /// Rests for [`STUB_DOMAIN_RETRY_MS`], then looks for it and lets `give` give it the link.
    // Rests first: a domain that ends again and again is not to keep this host busy.
    pub fn try_again<T>(
        &mut self,
        xen: &Xen,
        give: impl FnOnce(FoundStubDomain, &SecretKey) -> Result<T, StartError>,
    ) -> Option<T> {
        clock::sleep_us(STUB_DOMAIN_RETRY_MS * 1000);
        match self.look(xen).and_then(|(found, key)| give(found, &key)) {
            Ok(given) => {
                crate::log!("stub domain {} has the link", self.wanted.name);
                Some(given)
            }
            Err(error) => {
                let line = FixedText::format(format_args!("{error}"));
                if self.told.replace(line) != Some(line) {
                    crate::log!("{error}");
                }
                None
            }
        }
    }

    /// Opens and reads everything anew: xenstore may have lost us, and the key may have been renewed.
    fn look(&self, xen: &Xen) -> Result<(FoundStubDomain, SecretKey), StartError> {
        let mut store = open_xenstore(self.store_answer_ms_max)?;
        let found =
            find_now(xen, &mut store, &self.wanted).map_err(|error| self.wanted.failed(error))?;
        Ok((found, read_key_file(self.key_file)?))
    }
}
