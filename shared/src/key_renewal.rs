//! A new key without a restart: the operator writes the key file anew on both hosts and sends SIGUSR2 to
//! both helpers.
//!
//! The half that still may read files does so, and hands the key to the network half, which signs and
//! derives with it from the next session on. The session that is up keeps its own keys. As long as only
//! one host has the new key, no session begins, and the backup's log says why.

use crate::platform::linux::key_file::read_key_file;
use crate::platform::linux::signals;
use crate::ring::Control;

/// Reads the key file again if the operator has asked for it. To be called again and again; a file that
/// cannot be used leaves everything as it is.
pub fn renew_key_when_asked(key_file: &str, control: Control<'_>) {
    control.wipe_taken_key();
    if !signals::take_key_request() {
        return;
    }
    match read_key_file(key_file) {
        Ok(key) => {
            control.publish_key(key.bytes());
            crate::log!("key file {key_file} was read again: the next session is under its key");
        }
        Err(error) => crate::log!("{error}; the key in use stays"),
    }
}
