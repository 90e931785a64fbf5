//! Every limit of Pollux, named once.
//!
//! Buffers are sized from these numbers at start; nothing grows afterwards. A limit that an
//! operator can meet says in its comment what happens there.

/// Bytes in a page of guest memory, and in a slot of the page ring.
pub const PAGE_SIZE: usize = 4096;

/// vCPUs of a protected domain. A domain with more is refused at start.
pub const VCPU_COUNT_MAX: usize = 16;

/// Event channel ports of a protected domain: one FIFO event array page. More are refused.
pub const EVENT_CHANNEL_COUNT_MAX: usize = 1024;

/// Bytes of one domain's HVM context (4568 for one vCPU on Xen 4.17, about 2 KiB per further vCPU).
pub const HVM_CONTEXT_SIZE_MAX: usize = 64 * 1024;

/// Grant-table frames of a protected domain (Xen's default limit is 64).
pub const GRANT_FRAME_COUNT_MAX: usize = 64;

/// Frames of a stub domain's own grant table: 2040 grants. An interface takes 514.
pub const OWN_GRANT_FRAME_COUNT_MAX: usize = 4;

/// Microseconds between two looks at what xenstore says of an interface, each of which takes a few
/// requests: a backend domain that changes it all the time must not take all of the time.
pub const VIF_LOOK_INTERVAL_US: u64 = 5_000;

/// Bytes of the xl configuration that travels to the backup.
pub const XL_CONFIG_SIZE_MAX: usize = 16 * 1024;

/// Bytes of a domain name (xl accepts less; xenstore paths must stay short).
pub const DOMAIN_NAME_SIZE_MAX: usize = 64;

/// FIFO event array pages of a protected domain (1024 ports each).
pub const EVENT_ARRAY_PAGE_COUNT_MAX: usize = EVENT_CHANNEL_COUNT_MAX / 1024;

/// HVM params that travel with a checkpoint (Xen 4.17 knows 39).
pub const HVM_PARAM_COUNT_MAX: usize = 40;

/// Bytes of a xenstore watch token; Linux writes a kernel address in hexadecimal, 16 digits.
pub const WATCH_TOKEN_SIZE_MAX: usize = 64;

/// Bytes of an encoded checkpoint state: 1024 ports of at most 20 bytes, and the rest.
pub const CHECKPOINT_STATE_SIZE_MAX: usize = 32 * 1024;

/// Entries of a page ring at most: 16 GiB of guest. It is address space only until used; a larger
/// domain is refused at start.
pub const RING_ENTRY_COUNT_MAX: usize = 4 * 1024 * 1024;

/// Entries that the backup's ring grants before its guest's size is known: the description and
/// the configuration fit, with room to spare.
pub const RING_ENTRY_COUNT_INITIAL: u64 = 64;

/// Entries of the primary's page ring unless `--ring` says otherwise, 64 MiB of pages: what may be in
/// flight to the backup. A guest that writes more in an epoch has longer pauses.
pub const RING_ENTRY_COUNT_PRIMARY: u64 = 16 * 1024;

/// Entries that `--ring` gives at least, 16 MiB of pages.
pub const RING_ENTRY_COUNT_PRIMARY_MIN: u64 = 4 * 1024;

/// Entries that `--ring` gives at most, 4 GiB of pages.
pub const RING_ENTRY_COUNT_PRIMARY_MAX: u64 = 1024 * 1024;

/// Free entries of the primary's page ring that a checkpoint wants beside those for the pages that the
/// log names: pages that are always copied, HVM context and state.
pub const RING_PAUSE_ENTRY_COUNT: u64 = 512;

/// Pages of the log that a pause is meant to copy at most, whatever the target.
pub const TAIL_PAGE_COUNT_MAX: u64 = 4096;

/// Passes of the pre-drain before one checkpoint. A guest that is not caught after so many writes
/// faster than it is copied, and its pause gets longer.
pub const PASS_COUNT_MAX: u32 = 6;

/// Pages that the pre-drain copies between two looks at everything else.
pub const PASS_STEP_PAGE_COUNT: u64 = 256;

/// Entries of an epoch that are not copies of the guest's pages: state, HVM context, and pages that are
/// always copied.
pub const RING_ENTRY_COUNT_SLACK: u64 = 16 * 1024;

/// Entries that early copies add to an epoch at most, 1 GiB of pages. A guest that writes more in an
/// epoch has longer pauses.
pub const EARLY_ENTRY_COUNT_MAX: u64 = 256 * 1024;

const _: () = assert!(epoch_entry_count_max(DOMAIN_PAGE_COUNT_MAX) <= RING_ENTRY_COUNT_MAX as u64);

/// Entries that the backup's ring has for the epochs of a domain of `page_count` pages, once it knows
/// the domain: every page, and those that were copied early besides. An index walks through all of
/// them, so in time they all take memory.
#[must_use]
pub const fn epoch_entry_count_max(page_count: u64) -> u64 {
    page_count + early_entry_count_max(page_count) + RING_ENTRY_COUNT_SLACK
}

/// Entries that early copies may add to an epoch of a domain of `page_count` pages.
#[must_use]
pub const fn early_entry_count_max(page_count: u64) -> u64 {
    if page_count < EARLY_ENTRY_COUNT_MAX { page_count } else { EARLY_ENTRY_COUNT_MAX }
}

/// What a fault on a page after the log was cleaned costs the guest, in copies of a page: on hardware
/// some 2 us (exit, p2m lock, TLB flush) against 0.3 us; in the lab's emulator far more, which is not
/// what this is for.
pub const REFAULT_COST_PAGE_COUNT: u64 = 8;

/// Epochs after which the log is cleaned even if that does not seem to pay, to see what the guest
/// writes by now.
pub const LOG_KEPT_EPOCH_COUNT_MAX: u32 = 64;

/// Smallest memory of a rehearsed guest, in bytes.
pub const REHEARSAL_MEMORY_SIZE_MIN: u64 = 1024 * 1024;

/// Longest rehearsal, in seconds.
pub const REHEARSAL_SECONDS_MAX: u32 = 86_400;

/// Epochs of a rehearsal after which it is measured.
pub const REHEARSAL_WARM_UP_EPOCH_COUNT: u64 = 40;

/// Milliseconds in which a backup must answer a rehearsal.
pub const REHEARSAL_ANSWER_MS: u64 = 10_000;

/// Milliseconds in which a backup must have verified the last epoch of a rehearsal: all of the
/// replica's memory is read for that.
pub const REHEARSAL_VERIFY_MS: u64 = 60_000;

/// Shortest `--pause-target-us`, in microseconds.
pub const PAUSE_TARGET_US_MIN: u32 = 50;

/// Longest `--pause-target-us`, in microseconds.
pub const PAUSE_TARGET_US_MAX: u32 = 1_000_000;

/// Milliseconds in which a full ring of the primary must have room again, if the operator's timeout is
/// not longer; a backup that is heard but takes no page for so long is given up, since the guest may be
/// paused meanwhile.
pub const FULL_RING_MS: u32 = 5_000;

/// Milliseconds in which xenstored must answer the primary's helper, whose guest may be paused.
pub const XENSTORE_ANSWER_MS_MAX_PRIMARY: u32 = 5_000;

/// Milliseconds in which xenstored must answer the backup's helper: when it revives a guest there is
/// nothing better than to wait.
pub const XENSTORE_ANSWER_MS_MAX_BACKUP: u32 = 60_000;

/// Milliseconds in which the arbiter's program must answer; then it is killed. The guest's output is
/// held meanwhile.
pub const ARBITER_ANSWER_MS_MAX: u32 = 5_000;

/// Milliseconds after which an arbiter that has not decided is asked again.
pub const ARBITER_RETRY_MS: u64 = 1_000;

/// Microseconds between two looks at everything else while the arbiter is not asked.
pub const ARBITER_REST_US: u64 = 10_000;

/// Bytes of the text in which the backup says why it refuses a domain.
pub const REFUSAL_TEXT_SIZE_MAX: usize = 200;

/// Shortest time between checkpoints, in milliseconds.
pub const INTERVAL_MS_MIN: u32 = 5;

/// Longest time between checkpoints, in milliseconds.
pub const INTERVAL_MS_MAX: u32 = 10_000;

/// Longest time between checkpoints that `--interval-ms auto` chooses, in milliseconds; an epoch whose
/// acknowledgement takes longer is stretched all the same.
pub const AUTO_INTERVAL_MS_MAX: u32 = 200;

/// Shortest silence after which a peer may count as lost, in milliseconds.
pub const TIMEOUT_MS_MIN: u32 = 50;

/// Longest silence after which a peer counts as lost, in milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 60_000;

/// Shortest `--watchdog`, in seconds: the longest steps in which `protect` does not set it anew are an answer
/// of the arbiter's and one of xenstored's.
pub const WATCHDOG_S_MIN: u32 = 10;

/// Longest `--watchdog`, in seconds.
pub const WATCHDOG_S_MAX: u32 = 600;

const _: () =
    assert!(WATCHDOG_S_MIN * 1000 >= ARBITER_ANSWER_MS_MAX + XENSTORE_ANSWER_MS_MAX_PRIMARY);

/// Seconds that a killed `protect`'s watchdog is given when the next one starts: the arbiter's answers
/// to that one are waited for meanwhile.
pub const WATCHDOG_S_LEFT: u32 = 60;

/// Cores that a half can be pinned to are numbered below this.
pub const CORE_COUNT_MAX: u16 = 1024;

/// Replication links of one session, as many as `--link` may be given.
pub const LINK_COUNT_MAX: usize = 4;

/// Bytes of a network interface's name (IFNAMSIZ of Linux's if.h, less the closing zero).
pub const INTERFACE_NAME_SIZE_MAX: usize = 15;

/// Interfaces of a guest whose output the gate holds. A guest with more is refused at start.
pub const GATE_INTERFACE_COUNT_MAX: usize = 8;

/// Bytes of frames that the gate holds per interface before it drops: an epoch of 100 ms at
/// 1 Gbit/s. What is dropped is lost as on a crowded network, and is reported.
pub const GATE_HELD_SIZE_MAX: u32 = 16 * 1024 * 1024;

/// Frames that an interface of the gate passes on at a time once they are released.
pub const GATE_QUEUE_FRAMES: u32 = 4096;

/// Data frames that may be under way unacknowledged; the primary sends no more until some are
/// acknowledged.
pub const LINK_WINDOW_FRAMES: usize = 2048;

/// Ethernet payload that frames have at most, in bytes. Interfaces with a larger MTU are used with
/// this one.
pub const FRAME_SIZE_MAX: usize = 9000;

/// Ethernet payload that frames must be able to have, in bytes; a path that passes less carries no
/// session.
pub const FRAME_SIZE_MIN: usize = 576;

/// Pages that may resemble the event array at discovery; with more, protection is refused.
pub const EVENT_ARRAY_CANDIDATE_COUNT_MAX: usize = 64;

/// Pages that may resemble a control block at discovery; with more, protection is refused.
pub const CONTROL_BLOCK_CANDIDATE_COUNT_MAX: usize = 1024;

/// Places that may resemble a vcpu_info at discovery; with more, protection is refused.
pub const VCPU_INFO_CANDIDATE_COUNT_MAX: usize = 1024;

/// Bytes from a vCPU's GS base that are searched for Linux's per-CPU pointers.
pub const PER_CPU_AREA_SIZE_MAX: u64 = 256 * 1024;

/// Bytes of shadow pages for deltas unless the operator says otherwise.
pub const DELTA_CACHE_SIZE_DEFAULT: u64 = 64 * 1024 * 1024;

/// Bytes of shadow pages at most: more than a guest writes within seconds is no use.
pub const DELTA_CACHE_SIZE_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Requests that a guest may have open at xenstored while its ring is followed.
pub const XENSTORE_OPEN_REQUEST_COUNT_MAX: usize = 64;

/// Pages of a guest that backends may have mapped for writing; with more, protection is refused.
pub const SHARED_PAGE_COUNT_MAX: usize = 8192;

/// Pages of a protected domain (12 GiB): the backup keeps its full copy and one epoch in a ring of
/// [`RING_ENTRY_COUNT_MAX`] entries. A domain with more is refused.
pub const DOMAIN_PAGE_COUNT_MAX: u64 = 3 * 1024 * 1024;

/// gfns of a protected domain, holes included (64 GiB). A domain with more is refused.
pub const GFN_COUNT_MAX: u64 = 16 * 1024 * 1024;

/// Instants at which discovery looks before it surveys the guest anew.
pub const DISCOVERY_ATTEMPT_COUNT_MAX: u32 = 12;

/// Surveys of the guest's memory before discovery gives up.
pub const DISCOVERY_SURVEY_COUNT_MAX: u32 = 4;

/// Rounds of dirty pages that the full copy sends of the running guest before it pauses it.
pub const FULL_COPY_ROUND_COUNT_MAX: u32 = 8;

/// Dirty pages that are few enough to end the full copy.
pub const FULL_COPY_REST_COUNT_MAX: u64 = 1024;

/// Pauses in one checkpoint: a pause is repeated when the guest changed its ports, grant frames or
/// memory around it, which it does seldom and not for long.
pub const CHECKPOINT_PAUSE_COUNT_MAX: u32 = 8;

/// Bytes of an encoded domain description: its name, seven numbers of at most 10 bytes, and a flag.
pub const DESCRIPTION_SIZE_MAX: usize = DOMAIN_NAME_SIZE_MAX + 74;

/// A session's first epoch that can be revived, and whose end the guest's output waits for.
///
/// Epoch 1 is the full copy and epoch 2 what was written until the backup had worked that off:
/// both may take seconds, in which output passes as before. So nothing may hang on them.
pub const EPOCH_REVIVABLE_FIRST: u64 = 3;

/// Milliseconds in which a stub domain that is there must offer itself, when `protect` or `stand-by` starts: its
/// interface may not be connected yet.
pub const STUB_DOMAIN_OFFER_MS_MAX: u64 = 10_000;

/// Milliseconds in which a stub domain must take the hand-over.
pub const STUB_DOMAIN_TAKE_MS_MAX: u64 = 5_000;

/// Milliseconds after which `stand-by` looks anew for a stub domain that is not there any more.
pub const STUB_DOMAIN_RETRY_MS: u64 = 1_000;

/// Milliseconds for which a stub domain's heartbeat may stand still, if the operator's timeout is not longer; then it
/// hangs, and is let go. The peer has lost this host by then: nothing is gained by haste, and a host that is merely
/// busy must not lose its link half.
pub const LINK_HALF_STILL_MS_MAX: u32 = 10_000;

/// Bytes of a stub domain's stack; a page that is not mapped lies below it. An end of the link and its buffers of frames
/// lie on it, more than once while they are made: some 800 KiB.
pub const STUB_DOMAIN_STACK_SIZE: usize = 2 * 1024 * 1024;

/// Bytes of a stub domain's command line, its closing zero included (MAX_GUEST_CMDLINE of Xen's xen.h). A
/// longer one is refused.
pub const STUB_DOMAIN_COMMAND_LINE_SIZE_MAX: usize = 1024;

/// Ranges of a stub domain's memory map (E820_MAX of Xen and QEMU). One with more is refused.
pub const STUB_DOMAIN_MEMORY_RANGE_COUNT_MAX: usize = 128;

/// Microseconds that a log line waits for room in a stub domain's console; then it is lost, and counted.
pub const STUB_DOMAIN_CONSOLE_WAIT_US_MAX: u64 = 20_000;

/// Microseconds that a stub domain waits at its end until its last lines are taken.
pub const STUB_DOMAIN_CONSOLE_DRAIN_US_MAX: u64 = 1_000_000;

/// Microseconds in which xenstored must answer a stub domain, which ends otherwise: it is asked when the interface changes
/// and when the link is handed over, and dom0 may be busy then.
pub const STUB_DOMAIN_XENSTORE_US_MAX: u64 = 30_000_000;

/// Microseconds between two looks of a stub domain that waits for its interface, or for dom0, if nothing wakes it.
pub const STUB_DOMAIN_LOOK_US: u64 = 100_000;

/// Bytes that a stub domain leaves free beside its ring for ship's delta cache at most, unless told how large its ring
/// shall be. The cache is larger if more is left and `--delta-cache` asks for it.
pub const STUB_DOMAIN_DELTA_CACHE_SIZE: usize = 64 * 1024 * 1024;
