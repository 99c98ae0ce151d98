//! A systemd for each test.

use std::ops::Deref;
use std::time::Duration;

pub(crate) use ccm_harness::POLICY;
use ccm_harness::{UserSystemd, in_systemd_as, test_of};
use ccm_systemd_backend::{Bus, Unit};

/// Long enough for anything that should happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs `test` with a systemd of its own that has these unit files; no content masks a unit, and
/// the content of [`POLICY`] is one of the bus.
pub(crate) fn with_systemd<F: AsyncFnOnce(Systemd<'_>)>(units: &[(&str, &str)], test: F) {
    in_systemd_as(test_of::<F>(), units, |systemd| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test(Systemd(systemd)));
    });
}

/// One running systemd, with what only these tests do with it.
#[derive(Debug)]
pub(crate) struct Systemd<'a>(&'a UserSystemd);

impl Deref for Systemd<'_> {
    type Target = UserSystemd;

    fn deref(&self) -> &UserSystemd {
        self.0
    }
}

impl Systemd<'_> {
    /// The unit.
    pub(crate) async fn unit(&self, name: &str) -> Unit {
        Unit::connect(Bus::Session, name).await.unwrap()
    }
}
