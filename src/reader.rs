//! What the log says, read: lists of billables as of a cut, and the feed of entries.
//!
//! Both read a batch at a time and keep no transaction open between two of them. That is exact
//! because entries are only ever added, each with a position above every committed one: what is at
//! or below a cut stays the same for ever.

mod feed;
mod list;

use std::sync::Arc;

pub use feed::{FeedPage, read_feed};
pub use list::{Filter, List};

/// The accounts that a reader is limited to; `None` for no limit.
pub type Accounts = Option<Arc<[String]>>;
