//! What a history may have.

/// What can go wrong, and other things that a history may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A change was committed, and nobody was told.
    LostAcknowledgement,
    /// Nothing was committed, and nobody was told.
    Failure,
    /// The connection broke, and the change may be committed later.
    LateCommit,
    /// No answer comes in time, and the change may be committed later.
    Hang,
    /// The database rejects one entry.
    Refusal,
    /// The database does not store an entry, and reports no error.
    NotStored,
    /// Every connection broke.
    LogRestart,
    /// The database is slow, so that commands queue up.
    Slowness,
    ProcessRestart,
    TwoWriters,
    Twins,
    Conflict,
    Decision,
    QueueFull,
    CallerGaveUp,
}

impl Kind {
    pub(super) const ALL: [Self; 15] = [
        Self::LostAcknowledgement,
        Self::Failure,
        Self::LateCommit,
        Self::Hang,
        Self::Refusal,
        Self::NotStored,
        Self::LogRestart,
        Self::Slowness,
        Self::ProcessRestart,
        Self::TwoWriters,
        Self::Twins,
        Self::Conflict,
        Self::Decision,
        Self::QueueFull,
        Self::CallerGaveUp,
    ];
}
