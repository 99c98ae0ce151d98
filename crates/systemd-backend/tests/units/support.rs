//! A systemd for each test.

mod sandbox;
mod systemd;

use std::time::Duration;

pub(crate) use systemd::{POLICY, Systemd};

/// Long enough for anything that should happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs `test` with a systemd of its own that has these unit files; no content masks a unit, and
/// the content of [`POLICY`] is one of the bus.
///
/// The test function that calls this runs twice: outside it starts itself in a sandbox, where it
/// starts systemd and runs `test`.
pub(crate) fn with_systemd<F: AsyncFnOnce(Systemd)>(units: &[(&str, &str)], test: F) {
    if std::env::var_os(sandbox::INSIDE).is_none() {
        return sandbox::run(name_of::<F>());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { test(Systemd::start(units).await).await });
}

/// The name of the test function that a closure was written in, as the test program knows it.
fn name_of<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_program, path)| path);
    path.trim_end_matches("::{{closure}}")
}
