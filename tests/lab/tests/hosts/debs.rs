//! Debian packages of the program that the tests run, made by what makes the real ones.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ccm_harness::{bin_dir, cargo};

/// Two revisions of one package; their programs differ, so that it can be seen which one runs.
#[derive(Debug)]
pub(crate) struct Debs {
    pub(crate) first: PathBuf,
    pub(crate) second: PathBuf,
}

impl Debs {
    /// Makes them anew among the build's own files.
    pub(crate) fn make() -> Result<Self> {
        ccm_harness::build();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debs");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let (old, new) = (folder.join("old"), folder.join("new"));
        // What only a debugger reads would be most of the package.
        run(Command::new("strip").arg("-o").arg(&old).arg(bin_dir().join("ccm")))?;
        std::fs::copy(&old, &new)?;
        // Behind the end of the program, where nobody reads.
        std::fs::File::options().append(true).open(&new)?.write_all(b"second")?;
        let dist = dist()?;
        let deb = |name: &str, program: &Path, revision: &str| {
            let output = folder.join(name);
            let mut making = Command::new(&dist);
            making.args(["--format", "deb", "--fast", "--revision", revision]);
            run(making.arg("--ccm").arg(program).arg("--output").arg(&output))?;
            let made = std::fs::read_dir(&output)?.filter_map(|file| Some(file.ok()?.path()));
            let mut debs = made.filter(|path| path.extension().is_some_and(|ext| ext == "deb"));
            debs.next().with_context(|| format!("no package in {}", output.display()))
        };
        Ok(Self { first: deb("first", &old, "1")?, second: deb("second", &new, "2")? })
    }
}

/// The program that makes packages, built unless `$CCM_BIN_DIR` says that it is.
fn dist() -> Result<PathBuf> {
    if std::env::var_os("CCM_BIN_DIR").is_none() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        run(cargo().args(["build", "--quiet", "-p", "ccm-dist"]).current_dir(root))?;
    }
    Ok(bin_dir().join("ccm-dist"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("could not start {command:?}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {words}", output.status);
    Ok(())
}
