//! The switch: a bridge with a port for every machine, and a second bridge for islands. What goes
//! wrong on the way between hosts goes wrong here.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::network::Namespace;

/// Where everybody is plugged in, and where an island is.
const MAINLAND: &str = "br0";
const ISLAND: &str = "br1";
/// The last number of the first host's addresses.
pub(crate) const FIRST: u8 = 10;
/// The interface of every machine.
pub(crate) const INTERFACE: &str = "eth0";

/// The switch.
#[derive(Debug, Clone)]
pub(crate) struct Switch {
    namespace: Namespace,
}

/// A machine at the switch, by the last number of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u8);

impl Port {
    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 1, self.0)
    }

    pub(crate) fn address6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from(self.0))
    }

    /// Always the same: a neighbour that remembers it is right also after a reboot.
    pub(crate) fn mac(self) -> String {
        format!("02:77:00:00:00:{:02x}", self.0)
    }

    fn name(self) -> String {
        format!("port{}", self.0)
    }
}

impl Switch {
    pub(crate) fn make() -> Result<Self> {
        let namespace = Namespace::new()?;
        for (bridge, mac) in [(MAINLAND, "02:77:00:00:ff:00"), (ISLAND, "02:77:00:00:ff:01")] {
            // Forwards at once, to every port, whatever it hears.
            namespace.ip(&format!(
                "link add {bridge} address {mac} type bridge stp_state 0 forward_delay 0 \
                 mcast_snooping 0"
            ))?;
            namespace.ip(&format!("link set {bridge} up"))?;
        }
        Ok(Self { namespace })
    }

    /// Runs a cable to a machine that has none, and gives it its addresses.
    pub(crate) fn connect(&self, port: Port, machine: &Namespace) -> Result<()> {
        let (name, mac, at) = (port.name(), port.mac(), machine.path());
        self.namespace.ip(&format!(
            "link add {name} type veth peer name {INTERFACE} address {mac} netns {}",
            at.display()
        ))?;
        self.namespace.ip(&format!("link set {name} master {MAINLAND} up"))?;
        machine.ip(&format!("address add {}/24 brd + dev {INTERFACE}", port.address()))?;
        machine.ip(&format!("address add {}/64 dev {INTERFACE} nodad", port.address6()))?;
        machine.ip(&format!("link set {INTERFACE} up"))?;
        Ok(())
    }

    /// Takes the cable away, and with it the interface at its other end.
    pub(crate) fn disconnect(&self, port: Port) {
        // Whoever has no cable is disconnected already.
        self.namespace.ip(&format!("link delete {}", port.name())).ok();
    }

    /// Pulls the cable out of the switch: the machine loses its carrier.
    pub(crate) fn unplug(&self, port: Port) -> Result<()> {
        self.namespace.ip(&format!("link set {} down", port.name())).map(drop)
    }

    /// Puts it back.
    pub(crate) fn plug(&self, port: Port) -> Result<()> {
        self.namespace.ip(&format!("link set {} up", port.name())).map(drop)
    }

    /// Nothing passes, in neither direction; the carrier stays.
    pub(crate) fn silence(&self, port: Port) -> Result<()> {
        self.port(port, "state 0")
    }

    /// What the machine says goes nowhere; it still hears everybody.
    ///
    /// A locked port takes frames only from addresses that the switch knows there.
    pub(crate) fn mute(&self, port: Port) -> Result<()> {
        self.port(port, "learning off locked on")?;
        self.forget(port)
    }

    /// The machine hears nobody; everybody still hears it.
    ///
    /// The switch sends nothing to it that is for all, and does not know that it is there.
    pub(crate) fn deafen(&self, port: Port) -> Result<()> {
        self.port(port, "learning off flood off mcast_flood off bcast_flood off")?;
        self.forget(port)
    }

    /// Ends [`Switch::silence`], [`Switch::mute`], [`Switch::deafen`] and [`Switch::isolate`].
    pub(crate) fn heal(&self, port: Port) -> Result<()> {
        let on = "learning on locked off isolated off flood on mcast_flood on bcast_flood on";
        self.port(port, on)?;
        // A port whose cable is out has no state.
        self.port(port, "state 3").ok();
        Ok(())
    }

    /// Moves the machine to another switch, where other islanders are.
    pub(crate) fn island(&self, port: Port) -> Result<()> {
        self.namespace.ip(&format!("link set {} master {ISLAND}", port.name())).map(drop)
    }

    /// And back.
    pub(crate) fn mainland(&self, port: Port) -> Result<()> {
        self.namespace.ip(&format!("link set {} master {MAINLAND}", port.name())).map(drop)
    }

    /// Machines at isolated ports do not hear each other; everybody else hears them.
    pub(crate) fn isolate(&self, port: Port) -> Result<()> {
        self.port(port, "isolated on")
    }

    fn port(&self, port: Port, words: &str) -> Result<()> {
        self.namespace.tool("bridge", &format!("link set dev {} {words}", port.name())).map(drop)
    }

    /// The switch has never heard of anybody at this port.
    fn forget(&self, port: Port) -> Result<()> {
        let words = format!("link set {} type bridge_slave fdb_flush", port.name());
        self.namespace.ip(&words).map(drop)
    }
}
