//! What can go wrong with the gate, and what to do then.

use crate::gate::names::InterfaceName;
use crate::limits::GATE_INTERFACE_COUNT_MAX;
use crate::platform::linux::errno::ErrnoText;
use crate::platform::linux::netlink::NetlinkError;
use core::fmt;
use rustix::io::Errno;

/// A step at which the kernel can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateStep {
    /// List the host's interfaces.
    List,
    /// Create the device that holds frames.
    CreateIfb,
    /// Make its queue a plug.
    CreatePlug,
    /// Attach to what arrives from the guest.
    AttachIngress,
    /// Redirect it.
    Redirect,
    /// End an epoch.
    Hold,
    /// Release frames.
    Release,
    /// Read a plug's counters.
    Query,
    /// Remove a part of the gate.
    Remove,
}

impl GateStep {
    /// What it needs of the kernel, which modules bring that, and what the kernel says without them.
    fn needed(self) -> Option<(&'static str, &'static str, Errno)> {
        match self {
            Self::CreateIfb => Some(("the ifb device", "ifb", Errno::OPNOTSUPP)),
            Self::CreatePlug => Some(("the qdisc plug", "sch_plug", Errno::NOENT)),
            Self::AttachIngress => Some(("the qdisc ingress", "sch_ingress", Errno::NOENT)),
            Self::Redirect => Some((
                "the filter matchall (or u32) or the action mirred or gact",
                "-a cls_matchall act_mirred act_gact",
                Errno::NOENT,
            )),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::List => "list the interfaces of",
            Self::CreateIfb => "create an ifb device for",
            Self::CreatePlug => "make a plug for",
            Self::AttachIngress => "attach to",
            Self::Redirect => "redirect",
            Self::Hold => "hold the frames of",
            Self::Release => "release the frames of",
            Self::Query => "read the counters of",
            Self::Remove => "remove the gate of",
        }
    }
}

/// The gate could not be installed, driven or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateError {
    /// The domain has no network interface on this host.
    NoInterface {
        /// The domain.
        domid: u16,
    },
    /// The domain has more interfaces than the gate can hold.
    TooManyInterfaces {
        /// The domain.
        domid: u16,
    },
    /// The domain's interfaces are not those that the gate holds.
    InterfacesChanged {
        /// The domain.
        domid: u16,
    },
    /// The domain has vifs that are no interfaces of this host by the name that they should have.
    NotAll {
        /// The domain.
        domid: u16,
    },
    /// Someone else uses the hook at which the gate redirects.
    IngressInUse {
        /// The guest's interface.
        interface: InterfaceName,
    },
    /// The kernel lacks what a step needs.
    Missing {
        /// Which.
        step: GateStep,
    },
    /// Frames from before the first epoch did not drain.
    NeverEmpty,
    /// The kernel refused a step.
    Refused {
        /// Which.
        step: GateStep,
        /// For which of the guest's interfaces.
        interface: InterfaceName,
        /// What it said.
        errno: Errno,
    },
}

impl GateError {
    pub(super) fn refused(step: GateStep, interface: InterfaceName, error: NetlinkError) -> Self {
        if step.needed().is_some_and(|(_, _, errno)| errno == error.errno) {
            return Self::Missing { step };
        }
        if step == GateStep::AttachIngress && error.errno == Errno::EXIST {
            return Self::IngressInUse { interface };
        }
        Self::Refused { step, interface, errno: error.errno }
    }
}

impl fmt::Display for GateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("gate: ")?;
        match self {
            Self::NoInterface { domid } => write!(
                formatter,
                "domain {domid} has no interface vif{domid}.N on this host: give it one (without \
                 `vifname=`), or use --gate none"
            ),
            Self::TooManyInterfaces { domid } => write!(
                formatter,
                "domain {domid} has more than {GATE_INTERFACE_COUNT_MAX} interfaces: remove some"
            ),
            Self::InterfacesChanged { domid } => write!(
                formatter,
                "the interfaces of domain {domid} changed, and its frames are no longer all held: \
                 protect it anew"
            ),
            Self::NotAll { domid } => write!(
                formatter,
                "not every vif of domain {domid} is an interface vif{domid}.N here: give none backend= \
                 or vifname=, or use --gate none"
            ),
            Self::IngressInUse { interface } => write!(
                formatter,
                "{interface} has an ingress qdisc already: remove it with `tc qdisc del dev \
                 {interface} ingress`, or use --gate none"
            ),
            Self::Missing { step } => {
                let (part, modules, _) = step.needed().unwrap_or((step.words(), "", Errno::NOENT));
                write!(
                    formatter,
                    "{part} is not available on this kernel: load it with `modprobe {modules}`, or \
                     use --gate none"
                )
            }
            Self::NeverEmpty => formatter.write_str(
                "frames sent before the first checkpoint did not leave: protect the domain anew",
            ),
            Self::Refused { step, interface, errno } => {
                write!(formatter, "cannot {} {interface}: {}", step.words(), ErrnoText(*errno))
            }
        }
    }
}

impl core::error::Error for GateError {}

#[cfg(test)]
mod tests {
    use super::{Errno, GateError, GateStep, InterfaceName, NetlinkError};

    fn refused(step: GateStep, errno: Errno) -> String {
        let error = NetlinkError { message: Some(0), errno };
        GateError::refused(step, InterfaceName::new("vif3.0"), error).to_string()
    }

    #[test]
    fn a_missing_module_is_named() {
        assert_eq!(
            refused(GateStep::CreatePlug, Errno::NOENT),
            "gate: the qdisc plug is not available on this kernel: load it with `modprobe \
             sch_plug`, or use --gate none"
        );
    }

    #[test]
    fn other_refusals_name_step_interface_and_reason() {
        assert_eq!(
            refused(GateStep::Hold, Errno::NODEV),
            "gate: cannot hold the frames of vif3.0: no such device"
        );
        assert!(refused(GateStep::AttachIngress, Errno::EXIST).contains("tc qdisc del dev vif3.0"));
    }
}
