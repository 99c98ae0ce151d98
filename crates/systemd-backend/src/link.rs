//! The connection to systemd, made again when it has broken.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

use crate::Bus;
use crate::bus::{ManagerProxy, ServiceObjectProxy, UnitObjectProxy};

/// How long systemd may take to answer one call.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(5);

/// How long the bus may take to let us in: it is on this machine.
const BUS_WITHIN: Duration = Duration::from_secs(2);

/// Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    bus: Bus,
    kept: Arc<Mutex<Option<Connection>>>,
}

impl Link {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus, kept: Arc::default() }
    }

    async fn connection(&self) -> zbus::Result<Connection> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(connection) = kept.filter(|connection| !connection.is_closed()) {
            return Ok(connection);
        }
        let connection = self.subscribed().await?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        Ok(connection)
    }

    /// A connection that systemd sends its signals to.
    async fn subscribed(&self) -> zbus::Result<Connection> {
        let connecting = async {
            let connection = self.bus.builder().method_timeout(CALL_WITHIN).build().await?;
            // Without it systemd sends no signals.
            ManagerProxy::new(&connection).await?.subscribe().await?;
            Ok(connection)
        };
        match tokio::time::timeout(BUS_WITHIN, connecting).await {
            Ok(connected) => connected,
            Err(_elapsed) => {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(zbus::Error::InputOutput(Arc::new(late)))
            }
        }
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The next call makes a new connection.
    pub(crate) fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) async fn manager(&self) -> zbus::Result<ManagerProxy<'static>> {
        ManagerProxy::new(&self.connection().await?).await
    }

    /// Where `unit` is on the bus; systemd reads its file when it has not yet.
    pub(crate) async fn path(&self, unit: &str) -> zbus::Result<OwnedObjectPath> {
        self.manager().await?.load_unit(unit).await
    }

    /// What every unit has, and what services have.
    pub(crate) async fn objects(
        &self,
        unit: &str,
    ) -> zbus::Result<(UnitObjectProxy<'static>, ServiceObjectProxy<'static>)> {
        let path = self.path(unit).await?;
        let connection = self.connection().await?;
        let any = UnitObjectProxy::builder(&connection).path(path.clone());
        let service = ServiceObjectProxy::builder(&connection).path(path);
        // What is asked for is what is true at this moment.
        let any = any.cache_properties(CacheProperties::No).build().await?;
        Ok((any, service.cache_properties(CacheProperties::No).build().await?))
    }

    /// Something about `unit` may have changed, each time.
    pub(crate) async fn changes(
        &self,
        unit: &str,
    ) -> zbus::Result<zbus::fdo::PropertiesChangedStream> {
        let path = self.path(unit).await?;
        let properties = zbus::fdo::PropertiesProxy::builder(&self.connection().await?)
            .destination("org.freedesktop.systemd1")
            .path(path)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        properties.receive_properties_changed().await
    }
}
