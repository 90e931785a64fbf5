//! Look-ups in xenstore that need to know how the toolstack lays out its tree.
//!
//! /local/domain/N/name, /local/domain/N/device/{vif,vbd}/I/{backend,state}: the same since
//! Xen 3, and documented in xen/docs/misc/xenstore-paths.pandoc.

use core::fmt::Write as _;

use embedded_io::{Read, Write};
use heapless::{String, Vec};

use super::client::{Transaction, Xenstore};
use super::error::XenstoreError;
use crate::limits::DOMAIN_NAME_SIZE_MAX;
use crate::text::parse_number;
use crate::xen::Domid;
use crate::xen::xenbus::XenbusState;

/// Bytes of the paths that this file builds and reads.
pub const PATH_SIZE_MAX: usize = 128;
/// Domains of a host that a look-up by name goes through.
const DOMAIN_COUNT_MAX: usize = 1024;
/// Devices of one kind of a domain.
pub const DEVICE_COUNT_MAX: usize = 16;

/// A path in xenstore.
pub type Path = String<PATH_SIZE_MAX>;

/// A kind of device with a frontend in the guest and a backend in dom0 or a driver domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A network interface.
    Vif,
    /// A disk.
    Vbd,
}

impl DeviceKind {
    /// The name in the tree.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::Vif => "vif",
            DeviceKind::Vbd => "vbd",
        }
    }
}

/// The state of a device that works.
pub const STATE_CONNECTED: u64 = XenbusState::Connected.number();

/// A device of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number: 0 for the first vif; an encoded major and minor for a vbd.
    pub number: u32,
    /// The guest's part of the tree: /local/domain/N/device/vif/0.
    pub frontend_path: Path,
    /// The backend's part of the tree: /local/domain/0/backend/vif/N/0.
    pub backend_path: Path,
    /// The frontend's state; [`STATE_CONNECTED`] when it works. 0 when there is none.
    pub frontend_state: u64,
    /// The backend's state. 0 when there is none.
    pub backend_state: u64,
}

fn path(arguments: core::fmt::Arguments<'_>) -> Result<Path, XenstoreError> {
    let mut path = Path::new();
    path.write_fmt(arguments).map_err(|_| XenstoreError::TooLong)?;
    Ok(path)
}

/// The numbers of the nodes below `parent`, those that are numbers.
fn numbers<T: Read + Write, N: TryFrom<u64>, const COUNT: usize>(
    store: &mut Xenstore<T>,
    parent: &str,
) -> Result<Vec<N, COUNT>, XenstoreError> {
    let mut numbers = Vec::new();
    let names = match store.directory(Transaction::NONE, parent) {
        Ok(names) => names,
        Err(error) if error.is_not_found() => return Ok(numbers),
        Err(error) => return Err(error),
    };
    for number in names.filter_map(parse_number) {
        numbers.push(number).map_err(|_| XenstoreError::TooLong)?;
    }
    Ok(numbers)
}

/// The name of domain `domid`, or none when there is no such domain.
///
/// # Errors
/// [`XenstoreError`]; [`XenstoreError::TooLong`] for a name of more than 64 bytes.
pub fn name_of_domid<T: Read + Write>(
    store: &mut Xenstore<T>,
    domid: Domid,
) -> Result<Option<String<DOMAIN_NAME_SIZE_MAX>>, XenstoreError> {
    let path = path(format_args!("/local/domain/{domid}/name"))?;
    match store.read_text(Transaction::NONE, &path) {
        Ok(name) => String::try_from(name).map(Some).map_err(|_| XenstoreError::TooLong),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of the domain called `name`, or none when there is no such domain.
///
/// # Errors
/// [`XenstoreError`].
pub fn domid_of_name<T: Read + Write>(
    store: &mut Xenstore<T>,
    name: &str,
) -> Result<Option<Domid>, XenstoreError> {
    let domids: Vec<Domid, DOMAIN_COUNT_MAX> = numbers(store, "/local/domain")?;
    for domid in domids {
        let path = path(format_args!("/local/domain/{domid}/name"))?;
        match store.read(Transaction::NONE, &path) {
            Ok(found) if found == name.as_bytes() => return Ok(Some(domid)),
            Ok(_) => {}
            // It ended between the two requests.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The devices of `kind` that the toolstack gave domain `domid`, by number.
///
/// # Errors
/// [`XenstoreError`]; [`XenstoreError::TooLong`] for more than 16 devices.
pub fn devices<T: Read + Write>(
    store: &mut Xenstore<T>,
    domid: Domid,
    kind: DeviceKind,
) -> Result<Vec<Device, DEVICE_COUNT_MAX>, XenstoreError> {
    let parent = path(format_args!("/local/domain/{domid}/device/{}", kind.name()))?;
    let mut numbers: Vec<u32, DEVICE_COUNT_MAX> = numbers(store, &parent)?;
    numbers.sort_unstable();
    let mut devices = Vec::new();
    for number in numbers {
        let frontend_path = path(format_args!("{parent}/{number}"))?;
        let backend_node = path(format_args!("{frontend_path}/backend"))?;
        let backend_path = match store.read_text(Transaction::NONE, &backend_node) {
            Ok(text) => Path::try_from(text).map_err(|_| XenstoreError::TooLong)?,
            // A device without a backend is being removed.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        let frontend_state = state(store, &frontend_path)?;
        let backend_state = state(store, &backend_path)?;
        let device = Device { number, frontend_path, backend_path, frontend_state, backend_state };
        devices.push(device).map_err(|_| XenstoreError::TooLong)?;
    }
    Ok(devices)
}

/// The value of `state` below `device_path`; 0 when it is missing.
fn state<T: Read + Write>(
    store: &mut Xenstore<T>,
    device_path: &str,
) -> Result<u64, XenstoreError> {
    let path = path(format_args!("{device_path}/state"))?;
    match store.read_number(Transaction::NONE, &path) {
        Err(error) if error.is_not_found() => Ok(0),
        result => result,
    }
}
