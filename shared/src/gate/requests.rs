//! What the kernel is asked for, in its words.
//!
//! Numbers and structures are those of Linux 6.1: include/uapi/linux/rtnetlink.h, if_link.h,
//! pkt_sched.h, pkt_cls.h and tc_act/tc_mirred.h. Each function appends one message, so that
//! several interfaces are served by one system call.

use super::PlugAction;
use super::message::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL, Request};

/// A network interface exists, or is to be created.
pub const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
/// A qdisc exists, or is to be created or changed.
pub const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;

const IFF_UP: u32 = 1;
/// An interface's name, with its terminating zero.
pub const IFLA_IFNAME: u16 = 3;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TC_H_ROOT: u32 = 0xffff_ffff;
const TC_H_INGRESS: u32 = 0xffff_fff1;
const INGRESS_HANDLE: u32 = 0xffff_0000;
/// Our plug's own handle, 1:0.
const PLUG_HANDLE: u32 = 0x0001_0000;

/// All EtherTypes (include/uapi/linux/if_ether.h), VLAN tags included.
const ETH_P_ALL: u16 = 3;
const FILTER_PRIORITY: u32 = 1;
const TCA_MATCHALL_ACT: u16 = 2;
const TCA_U32_SEL: u16 = 5;
const TCA_U32_ACT: u16 = 7;
const TC_U32_TERMINAL: u8 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_MIRRED_PARMS: u16 = 2;
const TCA_EGRESS_REDIR: i32 = 1;
const TCA_GACT_PARMS: u16 = 2;
const TC_ACT_SHOT: i32 = 2;
const TC_ACT_PIPE: i32 = 3;

/// How the filter that redirects says "every frame": kernels have one or the other, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterKind {
    /// The classifier made for it (cls_matchall).
    Matchall,
    /// A comparison of no bits (cls_u32).
    U32,
}

/// Asks for all network interfaces.
pub fn list_links(request: &mut Request) {
    request.begin(RTM_GETLINK, NLM_F_DUMP, &link_header(0, 0));
}

/// Creates an `ifb` device, up, whose queue wakes its sender for `queue_frames` frames at a time.
pub fn create_ifb(request: &mut Request, name: &str, queue_frames: u32) {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    request.begin(RTM_NEWLINK, flags, &link_header(0, IFF_UP));
    request.text_attribute(IFLA_IFNAME, name);
    request.attribute(IFLA_TXQLEN, &queue_frames.to_ne_bytes());
    request.nested(IFLA_LINKINFO, |request| request.text_attribute(IFLA_INFO_KIND, "ifb"));
}

/// Deletes a network interface.
pub fn delete_link(request: &mut Request, interface_index: u32) {
    request.begin(RTM_DELLINK, NLM_F_ACK, &link_header(interface_index, 0));
}

/// Makes a `plug` the queue of an interface, holding up to `limit_bytes`. It starts closed.
pub fn create_plug(request: &mut Request, interface_index: u32, limit_bytes: u32) {
    let header = traffic_header(interface_index, PLUG_HANDLE, TC_H_ROOT, 0);
    request.begin(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &header);
    plug_options(request, PlugAction::Limit, limit_bytes);
}

/// Tells an interface's `plug` what to do.
pub fn tell_plug(request: &mut Request, interface_index: u32, action: PlugAction) {
    let header = traffic_header(interface_index, PLUG_HANDLE, TC_H_ROOT, 0);
    request.begin(RTM_NEWQDISC, NLM_F_ACK, &header);
    plug_options(request, action, 0);
}

/// Asks for the counters of an interface's `plug`.
pub fn query_plug(request: &mut Request, interface_index: u32) {
    let header = traffic_header(interface_index, PLUG_HANDLE, TC_H_ROOT, 0);
    // Kernels before 6.3 answer the asker only if it wants an echo.
    request.begin(RTM_GETQDISC, NLM_F_ACK | NLM_F_ECHO, &header);
}

/// Gives an interface the hook at which its arriving frames can be redirected.
pub fn create_ingress(request: &mut Request, interface_index: u32) {
    let header = traffic_header(interface_index, INGRESS_HANDLE, TC_H_INGRESS, 0);
    request.begin(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &header);
    request.text_attribute(TCA_KIND, "ingress");
}

/// Takes the hook away, and all filters at it.
pub fn delete_ingress(request: &mut Request, interface_index: u32) {
    let header = traffic_header(interface_index, INGRESS_HANDLE, TC_H_INGRESS, 0);
    request.begin(RTM_DELQDISC, NLM_F_ACK, &header);
}

/// Redirects every frame that arrives on one interface to the queue of another.
pub fn redirect_all(
    request: &mut Request,
    interface_index: u32,
    target_index: u32,
    kind: FilterKind,
) {
    let info = FILTER_PRIORITY << 16 | u32::from(ETH_P_ALL.to_be());
    let header = traffic_header(interface_index, 0, INGRESS_HANDLE, info);
    request.begin(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &header);
    match kind {
        FilterKind::Matchall => {
            request.text_attribute(TCA_KIND, "matchall");
            request.nested(TCA_OPTIONS, |request| {
                request.nested(TCA_MATCHALL_ACT, |request| redirect_actions(request, target_index));
            });
        }
        FilterKind::U32 => {
            request.text_attribute(TCA_KIND, "u32");
            request.nested(TCA_OPTIONS, |request| {
                request.attribute(TCA_U32_SEL, &u32_selector_of_everything());
                request.nested(TCA_U32_ACT, |request| redirect_actions(request, target_index));
            });
        }
    }
}

/// The actions of a filter: redirect a copy, then drop the frame itself.
///
/// Without the second action the kernel would redirect the frame itself, and a guest's frame is in
/// the guest's own memory, granted to the host: while it is held the guest cannot reuse its place
/// in the ring (256 frames and it stands still), nor can its domain be destroyed. Copying takes the
/// frame out of the guest's memory (`skb_clone` calls `skb_orphan_frags`); `mirred` copies when
/// its result is not the frame's end (net/sched/act_mirred.c, `tcf_mirred_can_reinsert`).
fn redirect_actions(request: &mut Request, target_index: u32) {
    const FIRST: u16 = 1;
    const SECOND: u16 = 2;
    // struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex.
    let mut redirect = [0; 28];
    redirect[8..12].copy_from_slice(&TC_ACT_PIPE.to_ne_bytes());
    redirect[20..24].copy_from_slice(&TCA_EGRESS_REDIR.to_ne_bytes());
    redirect[24..28].copy_from_slice(&target_index.to_ne_bytes());
    action(request, FIRST, "mirred", TCA_MIRRED_PARMS, &redirect);
    // struct tc_gact: index, capab, action, refcnt, bindcnt.
    let mut drop = [0; 20];
    drop[8..12].copy_from_slice(&TC_ACT_SHOT.to_ne_bytes());
    action(request, SECOND, "gact", TCA_GACT_PARMS, &drop);
}

fn action(request: &mut Request, order: u16, kind: &str, parameters_kind: u16, parameters: &[u8]) {
    request.nested(order, |request| {
        request.text_attribute(TCA_ACT_KIND, kind);
        request.nested(TCA_ACT_OPTIONS, |request| request.attribute(parameters_kind, parameters));
    });
}

/// `struct tc_u32_sel` with one `struct tc_u32_key` whose mask is empty: 16 bytes each.
fn u32_selector_of_everything() -> [u8; 32] {
    let mut selector = [0; 32];
    selector[0] = TC_U32_TERMINAL;
    selector[2] = 1;
    selector
}

fn plug_options(request: &mut Request, action: PlugAction, limit_bytes: u32) {
    // struct tc_plug_qopt: action, limit.
    let mut options = [0; 8];
    options[..4].copy_from_slice(&(action as i32).to_ne_bytes());
    options[4..].copy_from_slice(&limit_bytes.to_ne_bytes());
    request.text_attribute(TCA_KIND, "plug");
    request.attribute(TCA_OPTIONS, &options);
}

/// `struct ifinfomsg`: family, type, index, flags, and which of the flags are meant.
fn link_header(interface_index: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&interface_index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// `struct tcmsg`: family, interface, handle, parent, info.
fn traffic_header(interface_index: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&interface_index.to_ne_bytes());
    header[8..12].copy_from_slice(&handle.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header[16..20].copy_from_slice(&info.to_ne_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::{FilterKind, PlugAction, Request, redirect_all, tell_plug};
    use crate::limits::GATE_INTERFACE_COUNT_MAX;

    #[test]
    fn a_plug_is_told_in_60_bytes() {
        let mut request = Request::new();
        tell_plug(&mut request, 7, PlugAction::ReleaseOne);
        let expected: &[u8] = &[
            60, 0, 0, 0, 36, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, // header: RTM_NEWQDISC, ack
            0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 0, 0, 0, 0, // tcmsg
            9, 0, 1, 0, b'p', b'l', b'u', b'g', 0, 0, 0, 0, // TCA_KIND
            12, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, // TCA_OPTIONS
        ];
        assert_eq!(request.bytes(), expected);
    }

    #[test]
    fn the_largest_request_fits() {
        let mut request = Request::new();
        for index in 0..u32::try_from(GATE_INTERFACE_COUNT_MAX).unwrap() {
            tell_plug(&mut request, index, PlugAction::Buffer);
            redirect_all(&mut request, index, index, FilterKind::U32);
        }
        assert_eq!(request.message_count() as usize, 2 * GATE_INTERFACE_COUNT_MAX);
    }
}
