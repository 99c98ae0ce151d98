//! What every line says of this node.

use ccm_agent::{Place, Settings};
use tokio::sync::watch;

/// Cluster and node, and what the node is at the moment of a line.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// `None` when nothing is known of the node.
    pub(super) cluster: Option<String>,
    pub(super) node: Option<String>,
    place: watch::Receiver<Place>,
}

impl Context {
    pub(crate) fn new(settings: Option<&Settings>, place: watch::Receiver<Place>) -> Self {
        let cluster = settings.map(|settings| settings.cluster.to_string());
        Self { cluster, node: settings.map(|settings| settings.node.to_string()), place }
    }

    pub(super) fn place(&self) -> Place {
        *self.place.borrow()
    }
}

#[cfg(test)]
pub(super) fn primary() -> Context {
    use ccm_types::{Epoch, RoleName};
    let place = Place { role: Some(RoleName::Primary), epoch: Some(Epoch::new(7)) };
    let (cluster, node) = (Some(String::from("c")), Some(String::from("n")));
    Context { cluster, node, place: watch::channel(place).1 }
}
