//! A real terminal without a window: a shell in tmux, which one types into and reads the screen of.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{PATIENCE, bound, wait};

/// A terminal with a shell in it; everything in it is killed when it is dropped.
#[derive(Debug)]
pub struct Terminal {
    server: Child,
    dir: TempDir,
}

impl Terminal {
    /// One of this size, with a prompt.
    #[must_use]
    pub fn start(columns: u16, rows: u16) -> Self {
        let dir = tempfile::Builder::new().prefix("ccm-terminal-").tempdir().unwrap();
        let mut server = Command::new("tmux");
        // In the foreground, so that it ends with the test.
        server.args(["-D", "-u", "-f", "/dev/null", "-S"]).arg(dir.path().join("socket"));
        server.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        let mut server = bound(&server);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let terminal = Self { server: server.spawn().unwrap(), dir };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let shell = "PS1='$ ' exec sh";
        let session = ["new-session", "-d", "-x", &columns, "-y", &rows, shell];
        wait::until(PATIENCE, "tmux to begin", || terminal.tmux(&session));
        terminal.wait_screen(|screen| screen.contains('$'));
        terminal
    }

    /// Types text and the return key.
    pub fn enter(&self, line: &str) {
        assert!(self.tmux(&["send-keys", "-l", line]).is_some(), "tmux has ended");
        self.press("Enter");
    }

    /// Presses a key, as tmux names it: `q`, `Tab`, `Down`, `C-c`.
    pub fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).is_some(), "tmux has ended");
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).unwrap_or_default()
    }

    /// The screen with its colours, as a terminal writes them.
    #[must_use]
    pub fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"]).unwrap_or_default()
    }

    /// A value of tmux, such as `cursor_flag` or `alternate_on`.
    #[must_use]
    pub fn value(&self, name: &str) -> String {
        let told = self.tmux(&["display-message", "-p", &format!("#{{{name}}}")]);
        String::from(told.unwrap_or_default().trim())
    }

    /// Waits until the screen satisfies `holds`; the screen.
    pub fn wait_screen(&self, holds: impl Fn(&str) -> bool) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            let late = std::time::Instant::now() >= deadline;
            assert!(!late, "the screen never showed it, last it showed\n{screen}");
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }

    /// What tmux prints; `None` when it refuses.
    fn tmux(&self, args: &[&str]) -> Option<String> {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.socket()).args(args).env_remove("TMUX");
        let output = tmux.output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
