//! **Every action for one resource is serial**: nothing that begins something is asked for while
//! something else is under way on the same resource; only what ends something may overtake.

use ccm_role::{OpId, Operation};

use crate::scenario::HostId;
use crate::world::World;

/// What a machine has asked for and not been answered.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Vec<(OpId, Resource)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Files,
    Backend,
    Vip,
}

impl UnderWay {
    pub(super) fn ended(&mut self, op: OpId) {
        self.0.retain(|(other, _)| *other != op);
    }
}

/// Which resource an operation is about, and whether it begins something.
fn resource(operation: &Operation) -> (Resource, bool) {
    match operation {
        Operation::MoveFence { .. }
        | Operation::Compare
        | Operation::CatchUp
        | Operation::Place { .. }
        | Operation::StartCapture { .. }
        | Operation::Retire { .. } => (Resource::Files, true),
        Operation::Flush | Operation::AbandonCapture => (Resource::Files, false),
        Operation::StartBackend => (Resource::Backend, true),
        Operation::StopBackend | Operation::KillBackend { .. } => (Resource::Backend, false),
        Operation::AcquireVip { .. } => (Resource::Vip, true),
        Operation::ReleaseVip => (Resource::Vip, false),
    }
}

impl World {
    /// The machine asks for an operation.
    pub(crate) fn check_serial(&mut self, host: HostId, op: OpId, operation: &Operation) {
        let (resource, begins) = resource(operation);
        let busy = self.checks.under_way[host].0.iter().any(|(_, other)| *other == resource);
        self.checks.under_way[host].0.push((op, resource));
        if begins && busy {
            let words =
                format!("host {host} asks for {operation:?} while its {resource:?} are busy");
            self.violated("serial", words);
        }
    }
}
