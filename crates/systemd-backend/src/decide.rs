//! What is decided about a unit, without asking anybody: every table is tested as data.

mod at_boot;
mod ended;
mod job_result;
mod press;
mod verdict;

pub use at_boot::{SelfStart, UnitFileState};
pub use press::Patience;
pub use verdict::Verdict;

pub(crate) use ended::{Ended, log_lines};
pub(crate) use job_result::{Asked, JobResult, Meaning, limited, meaning, unseen};
pub(crate) use press::{Press, Pressed};
pub(crate) use verdict::verdict;
