//! A host to install on: the system of this machine under an overlay that is thrown away, with the
//! real dpkg and rpm, and a `systemctl` that writes down what it is asked.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::made::{self, folder};

/// Makes the host and runs the story in it; everything is gone with the namespaces.
const MAKE: &str = r#"
set -eu
mount -t tmpfs -o mode=755 tmpfs "$ROOT"
mkdir "$ROOT/upper" "$ROOT/work" "$ROOT/host"
mount -t overlay overlay -o "lowerdir=/,upperdir=$ROOT/upper,workdir=$ROOT/work" "$ROOT/host"
cd "$ROOT/host"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -p run/systemd/system run/first run/second
mount --bind "$FIRST" run/first
mount --bind "$SECOND" run/second
# rpm looks in /usr/bin only.
# It would read every page of the system again at each step.
rm -f var/lib/man-db/auto-update
rm usr/bin/systemctl
cat >usr/bin/systemctl <<'END'
#!/bin/sh
echo "systemctl $*" >>/run/calls
case "$*" in
"show --property=MainPID --value "*) cat /run/daemon.pid 2>/dev/null || echo 0 ;;
"stop "*) if [ -e /run/daemon.pid ]; then kill -TERM "$(cat /run/daemon.pid)"; fi ;;
esac
END
chmod 755 usr/bin/systemctl
exec chroot . sh -c "$STORY"
"#;

/// What the stories share: chapters, and a stand-in for the daemon, which ends as it is told to.
const WORDS: &str = r#"
set -eu
exec 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
chapter() { echo "== $1"; : >/run/calls; }
calls() { cat /run/calls; }
daemon() { sleep 60 & echo $! >/run/daemon.pid; }
ended() {
    status=0; wait "$(cat /run/daemon.pid)" || status=$?
    rm /run/daemon.pid; echo "the daemon ended with $status"
}
lives() { kill -0 "$(cat /run/daemon.pid)" && echo "the daemon lives"; }
"#;

/// The chapters of a story, by name.
pub(crate) type Chapters = BTreeMap<String, String>;

/// Runs a shell script in a host, and returns what each of its chapters printed.
pub(crate) fn tell(name: &str, story: &str) -> Chapters {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private"]);
    unshare.args(["sh", "-c", MAKE]);
    unshare.env("ROOT", folder(name)).env("STORY", format!("{WORDS}{story}"));
    unshare.env("FIRST", made::first().dir()).env("SECOND", made::second().dir());
    let mut unshare = ccm_harness::bound(&unshare);
    let told = unshare.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let words = String::from_utf8_lossy(&told.stderr);
    assert!(
        told.status.success(),
        "needs root, namespaces and overlayfs: {}\n{text}{words}",
        told.status
    );
    let mut chapters = Chapters::new();
    let mut now = String::new();
    for line in text.lines() {
        match line.strip_prefix("== ") {
            Some(name) => now = String::from(name),
            None => *chapters.entry(now.clone()).or_default() += &format!("{line}\n"),
        }
    }
    chapters
}
