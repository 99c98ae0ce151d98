//! Packages, made once for all the tests of a run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The time of everything: 2001-09-09 01:46:40 UTC.
pub(crate) const EPOCH: u32 = 1_000_000_000;

/// A folder with packages.
#[derive(Debug)]
pub(crate) struct Made {
    dir: PathBuf,
}

/// All three, in their first revision.
pub(crate) fn first() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| Made::make("first", EPOCH, &[]))
}

/// The packages that are installed, in their second revision.
pub(crate) fn second() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    let args = ["--revision", "2", "--format", "deb,rpm"];
    MADE.get_or_init(|| Made::make("second", EPOCH, &args))
}

impl Made {
    /// Makes packages of the `ccm` that the tests run, in a folder that the next run makes anew.
    pub(crate) fn make(name: &str, epoch: u32, args: &[&str]) -> Self {
        let dir = folder(name);
        run(dist(&dir).args(args).env("SOURCE_DATE_EPOCH", epoch.to_string()));
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The one file with this ending.
    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        let files = std::fs::read_dir(&self.dir).unwrap().map(|file| file.unwrap().path());
        let mut files = files.filter(|file| file.to_str().unwrap().ends_with(ending));
        let found = files.next().unwrap_or_else(|| panic!("no {ending} was made"));
        assert_eq!(files.next(), None, "two files end with {ending}");
        found
    }
}

/// The command that packages the `ccm` that the tests run into `dir`.
pub(crate) fn dist(dir: &Path) -> Command {
    let mut dist = Command::new(env!("CARGO_BIN_EXE_ccm-dist"));
    dist.arg("--ccm").arg(program()).arg("--fast").arg("--output").arg(dir);
    dist
}

/// `ccm` without what only a debugger reads, which would be most of the package.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        ccm_harness::build();
        let path = folder("program").join("ccm");
        let mut strip = Command::new("strip");
        run(strip.arg("-o").arg(&path).arg(ccm_harness::bin_dir().join("ccm")));
        path
    })
}

/// An empty folder among the build's own, so that nothing heaps up.
pub(crate) fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ccm-dist").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).unwrap();
    }
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// What a command prints; it fails the test with its own words.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
