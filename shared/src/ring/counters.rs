//! What the link counts, for the status line and for tests. Counts start with the process.

/// Counters and gauges of one end of the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames sent, of every type.
    pub frames_sent: u64,
    /// Bytes in them, Ethernet headers included.
    pub bytes_sent: u64,
    /// Data frames that were sent again.
    pub frames_retransmitted: u64,
    /// Authentic frames that came.
    pub frames_received: u64,
    /// Bytes in them, Ethernet headers included.
    pub bytes_received: u64,
    /// Frames dropped: too short, unknown, or from another address.
    pub frames_malformed: u64,
    /// Frames dropped: they were not sealed or signed with our key.
    pub frames_unauthentic: u64,
    /// Frames dropped: their packet number was seen already, or is too old to tell.
    pub frames_replayed: u64,
    /// Frames dropped: copies, on another link, of frames that have come. Nothing is wrong with these.
    pub frames_copied: u64,
    /// Authentic frames dropped: of another session, or of no use in this state.
    pub frames_unexpected: u64,
    /// Data frames that came again although they were here already.
    pub frames_duplicate: u64,
    /// Sessions that were established.
    pub sessions: u64,
    /// Largest frame of the session, in bytes of Ethernet payload; 0 when there is none.
    pub frame_size: u64,
    /// Smoothed round-trip time in microseconds; 0 when unknown.
    pub round_trip_us: u64,
    /// Longest time for which this end listened to the peer in vain while protected, in microseconds.
    pub silence_us_max: u64,
    /// The silence that was borne last while protected, in microseconds.
    pub silence_limit_us: u64,
    /// Longest time between two turns of the link process while protected, in microseconds: what
    /// the host kept it waiting.
    pub stall_us_max: u64,
    /// Primary: pages sent as they are, of 4096 bytes each.
    pub pages_raw: u64,
    /// Primary: pages of zeros.
    pub pages_zero: u64,
    /// Primary: pages that were as they had been sent last.
    pub pages_unchanged: u64,
    /// Primary: pages sent as their changes, with LZ4 or without.
    pub pages_delta: u64,
    /// Primary: pages sent as LZ4 blocks of the whole page.
    pub pages_lz4: u64,
    /// Primary: bytes of all these pages after encoding, without the headers around them.
    pub page_bytes_stored: u64,
    /// Where there are several links and a session is up: sets of links, a bit for each, in bytes from the
    /// lowest on: on which the peer is heard, on which it hears us (primary), over which data goes.
    pub links: u64,
    /// What the link process has used.
    pub usage: ProcessFigures,
}

impl LinkCounters {
    /// Words that the counters take.
    pub const WORD_COUNT: usize = 26;

    pub(super) const fn to_words(self) -> [u64; Self::WORD_COUNT] {
        [
            self.frames_sent,
            self.bytes_sent,
            self.frames_retransmitted,
            self.frames_received,
            self.bytes_received,
            self.frames_malformed,
            self.frames_unauthentic,
            self.frames_replayed,
            self.frames_unexpected,
            self.frames_duplicate,
            self.sessions,
            self.frame_size,
            self.round_trip_us,
            self.silence_us_max,
            self.stall_us_max,
            self.pages_raw,
            self.pages_zero,
            self.pages_unchanged,
            self.pages_delta,
            self.pages_lz4,
            self.page_bytes_stored,
            self.usage.processor_us,
            self.usage.fault_count,
            self.frames_copied,
            self.silence_limit_us,
            self.links,
        ]
    }

    pub(super) const fn from_words(words: [u64; Self::WORD_COUNT]) -> Self {
        Self {
            frames_sent: words[0],
            bytes_sent: words[1],
            frames_retransmitted: words[2],
            frames_received: words[3],
            bytes_received: words[4],
            frames_malformed: words[5],
            frames_unauthentic: words[6],
            frames_replayed: words[7],
            frames_unexpected: words[8],
            frames_duplicate: words[9],
            sessions: words[10],
            frame_size: words[11],
            round_trip_us: words[12],
            silence_us_max: words[13],
            stall_us_max: words[14],
            pages_raw: words[15],
            pages_zero: words[16],
            pages_unchanged: words[17],
            pages_delta: words[18],
            pages_lz4: words[19],
            page_bytes_stored: words[20],
            usage: ProcessFigures { processor_us: words[21], fault_count: words[22] },
            frames_copied: words[23],
            silence_limit_us: words[24],
            links: words[25],
        }
    }
}

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Processor time in microseconds.
    pub processor_us: u64,
    /// Page faults, of either kind.
    pub fault_count: u64,
}

/// What the backup tells of a rehearsal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RehearsalFigures {
    /// Its receiving process.
    pub receive: ProcessFigures,
    /// Its applying process.
    pub commit: ProcessFigures,
    /// The newest epoch after which the replica was found equal to the guest, as it was after every
    /// epoch before; 0 before the first.
    pub verified_epoch: u64,
}

impl RehearsalFigures {
    /// Words that the figures take.
    pub const WORD_COUNT: usize = 5;

    /// The figures as words, in the order of their fields.
    #[must_use]
    pub const fn to_words(self) -> [u64; Self::WORD_COUNT] {
        let Self { receive, commit, verified_epoch } = self;
        [
            receive.processor_us,
            receive.fault_count,
            commit.processor_us,
            commit.fault_count,
            verified_epoch,
        ]
    }

    /// The figures that became these words.
    #[must_use]
    pub const fn from_words(words: [u64; Self::WORD_COUNT]) -> Self {
        let [processor_us, fault_count, ..] = words;
        let receive = ProcessFigures { processor_us, fault_count };
        let [_, _, processor_us, fault_count, verified_epoch] = words;
        let commit = ProcessFigures { processor_us, fault_count };
        Self { receive, commit, verified_epoch }
    }
}
