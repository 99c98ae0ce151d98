//! The virtual IP, on hosts with a network of their own: on the primary, and nowhere else.

mod guarded;
mod leftovers;
mod moves;
mod operators;

use ccm_harness::{Cluster, ClusterOptions, Lan, in_lan};

use crate::machine::alone;

/// Runs `test` on a cluster of two nodes that serves, with the indices of primary and passive.
fn on_two_hosts(
    options: ClusterOptions,
    test: impl FnOnce(&Lan, &mut Cluster, usize, usize) + Send,
) {
    let _machine = alone();
    in_lan(|lan| {
        let mut cluster = Cluster::start_on(lan, options);
        let first = cluster.wait_serving();
        let other = 1 - first;
        cluster.wait_vip(first);
        cluster.wait_follows(other);
        test(lan, &mut cluster, first, other);
    });
}
