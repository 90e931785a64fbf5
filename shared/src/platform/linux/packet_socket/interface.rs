//! What a packet socket asks of its interface.

use super::abi::{INTERFACE_ANSWER_SIZE, InterfaceRequest};
use super::{PacketSocket, PacketSocketError, PacketSocketErrorKind};
use crate::platform::linux::file;
use crate::text::FixedText;
use rustix::ioctl::Updater;

// include/uapi/linux/sockios.h
const SIOCGIFFLAGS: rustix::ioctl::Opcode = 0x8913;
const SIOCGIFMTU: rustix::ioctl::Opcode = 0x8921;
const SIOCGIFHWADDR: rustix::ioctl::Opcode = 0x8927;
// include/uapi/linux/if.h
const IFF_UP: u16 = 1;
const IFF_RUNNING: u16 = 1 << 6;
// include/uapi/linux/if_arp.h
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

impl PacketSocket {
    /// Checks that the interface is up, with a carrier or without.
    ///
    /// # Errors
    /// [`PacketSocketErrorKind::Down`].
    pub fn check_up(&self) -> Result<(), PacketSocketError> {
        match self.interface_flags()? & IFF_UP {
            0 => {
                let kind = PacketSocketErrorKind::Down;
                Err(PacketSocketError { interface: self.interface, kind })
            }
            _ => Ok(()),
        }
    }

    /// Whether the interface is up and has a carrier.
    pub fn is_link_up(&self) -> bool {
        const BOTH: u16 = IFF_UP | IFF_RUNNING;
        self.interface_flags().is_ok_and(|flags| flags & BOTH == BOTH)
    }

    pub(super) fn read_interface(&mut self) -> Result<(), PacketSocketError> {
        let interface = self.interface;
        let error = |kind| Err(PacketSocketError { interface, kind });
        let hardware = self.ask::<SIOCGIFHWADDR>("read the address")?;
        let [family, octets @ ..] = hardware;
        // struct sockaddr: family, then the address.
        let family = u16::from_ne_bytes([family, octets[0]]);
        if family != ARPHRD_ETHER && family != ARPHRD_LOOPBACK {
            return error(PacketSocketErrorKind::NotEthernet);
        }
        self.mac.copy_from_slice(&octets[1..7]);
        let mtu = self.ask::<SIOCGIFMTU>("read the MTU")?;
        let mtu = i32::from_ne_bytes([mtu[0], mtu[1], mtu[2], mtu[3]]);
        // The loopback interface has one more byte than a u16 holds.
        self.mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        let brport = FixedText::<64>::format(format_args!("/sys/class/net/{interface}/brport"));
        if file::exists(brport.as_str()) {
            return error(PacketSocketErrorKind::BridgePort);
        }
        Ok(())
    }

    fn interface_flags(&self) -> Result<u16, PacketSocketError> {
        let flags = self.ask::<SIOCGIFFLAGS>("read the state")?;
        Ok(u16::from_ne_bytes([flags[0], flags[1]]))
    }

    fn ask<const QUESTION: rustix::ioctl::Opcode>(
        &self,
        step: &'static str,
    ) -> Result<[u8; INTERFACE_ANSWER_SIZE], PacketSocketError> {
        let mut request = InterfaceRequest { name: [0; 16], answer: [0; INTERFACE_ANSWER_SIZE] };
        let name = self.interface.as_str().as_bytes();
        request.name[..name.len()].copy_from_slice(name);
        // SAFETY: the questions used here read and write one `struct ifreq`.
        let question = unsafe { Updater::<QUESTION, InterfaceRequest>::new(&mut request) };
        // SAFETY: the request outlives the call.
        unsafe { rustix::ioctl::ioctl(&self.fd, question) }
            .map_err(|errno| self.error(step, errno))?;
        Ok(request.answer)
    }
}
