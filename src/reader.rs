//! Reads the log: lists of billables as of a cut, and the feed of entries.
//!
//! A cut is the last position of each partition when the list began. Lists and the feed read in
//! batches and keep no transaction open between batches. The result is exact because entries are
//! only added, each at a position above every committed one: the entries at or below a cut never
//! change.

mod feed;
mod list;
mod point;

pub use feed::{FeedPage, read_feed};
pub use list::{Filter, List, MAX_OF_CALL, ReadAhead};
pub use point::{are_beyond, has_points, points_at};
