//! Data that was there when the lease was released, and that is nowhere to be found.
//!
//! A planned release names the last transaction of the leadership, which the bucket had by then.
//! Whoever wins a lease that was released so must reach it before it serves, or a bucket that has
//! forgotten its end would make it serve without what was acknowledged, although the node that led
//! has it all.
//!
//! | what is found | then |
//! |---|---|
//! | the bucket, or the replica of this node, reaches it | it serves |
//! | neither does, or nothing is there | it gives the lease back at that position, rests, says so |
//! | the same, and an operator promotes a node that has said so | it serves what there is |
//! | its own data file is as new as the bucket, by epochs | it serves: the file is not measured |
//! | the holder was lost, it has not released | nothing was named, and nothing is missed |

use ccm_types::Txid;

use crate::machine::Machine;
use crate::state::Lease;

impl Lease {
    /// The last transaction that a planned release has named.
    pub(crate) fn floor(&self) -> Txid {
        self.released.unwrap_or(Txid::ZERO)
    }
}

impl Machine {
    /// Why what reaches to `have` must not be served under this lease; `None` when it may.
    pub(crate) fn falls_short(&mut self, lease: Lease, have: Txid) -> Option<String> {
        let floor = lease.floor();
        if have >= floor || self.accepts_shortfall(floor) {
            return None;
        }
        self.short_of = floor;
        Some(format!(
            "the lease was released at transaction {floor}, and neither the bucket nor this node \
             has more than {have}: start the node that led before, which may have the rest, or \
             run `ccm promote` on this node to go on without it"
        ))
    }
}
