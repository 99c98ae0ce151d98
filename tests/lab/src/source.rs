//! What is put on the hosts of a site before anything is configured.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use ccm_harness::bin_dir;

use crate::host::Host;

/// What the unit of the backend starts: the demo backend, told what that unit says.
const BACKEND_PROGRAM: &str = "#!/bin/sh
exec /usr/bin/demo-backend --db \"$CONVEX_LOCAL_STORAGE\" --listen [::]:3210 \\
  --host \"$(cat /proc/sys/kernel/hostname)\"
";

/// Where ccm and the units come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// The program that was built, and the units in `deploy/`.
    #[default]
    Deploy,
    /// The program that was built, and the units as the seed prints them.
    Seed,
    /// Nothing of ccm: the scenario installs a package. The backend's program and user are there.
    Package,
}

/// What packages and `deploy/README.md` put on a host.
pub(crate) fn install(host: &Host, source: Source) -> Result<()> {
    host.copy(&bin_dir().join("demo-backend"), "usr/bin/demo-backend")?;
    host.write_program("usr/bin/convex-local-backend", BACKEND_PROGRAM)?;
    host.sh("getent passwd convex >/dev/null || useradd --system --no-create-home convex")?.ok()?;
    let units = match source {
        Source::Deploy => "../../deploy",
        Source::Seed => "fixtures/seed",
        // It makes the folder of the data, too.
        Source::Package => return Ok(()),
    };
    host.copy(&bin_dir().join("ccm"), "usr/bin/ccm")?;
    host.link("ccm", "usr/bin/convex-cluster-manager")?;
    for unit in units_in(units)? {
        let name = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
        host.copy(&unit, &format!("etc/systemd/system/{name}"))?;
    }
    host.done(&["install", "-d", "-o", "convex", "-g", "convex", "/var/lib/convex"])?;
    host.done(&["systemctl", "daemon-reload"]).map(drop)
}

/// The units in a folder, named from that of this crate.
fn units_in(folder: &str) -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut units = Vec::new();
    let entries = std::fs::read_dir(&folder);
    for entry in entries.with_context(|| format!("no folder {}", folder.display()))? {
        let path = entry?.path();
        let ends = path.extension().unwrap_or_default();
        if ends == "service" || ends == "slice" || ends == "socket" {
            units.push(path);
        }
    }
    ensure!(!units.is_empty(), "no units in {}", folder.display());
    Ok(units)
}
