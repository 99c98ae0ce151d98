//! How a service has ended, in words for an operator.

/// Lines of its log that are told with the reason.
pub(crate) const LINES_MAX: usize = 5;

/// Characters of each of them.
const CHARS_MAX: usize = 160;

/// What systemd says of the last end of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    /// `Result`: systemd.exec(5), "$SERVICE_RESULT".
    pub(crate) result: &'a str,
    /// `ExecMainCode`: `CLD_EXITED`, `CLD_KILLED`, `CLD_DUMPED` of sigaction(2), 0 for none.
    pub(crate) code: i32,
    /// `ExecMainStatus`: the exit status, or the signal.
    pub(crate) status: i32,
}

const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_DUMPED: i32 = 3;

impl Ended<'_> {
    pub(crate) fn in_words(self) -> String {
        let words = match self.result {
            "success" => return self.well(),
            // The main process has not ended: it never ran, or goes on.
            "exit-code" | "signal" | "core-dump" if self.code == 0 => {
                "a command beside its main process failed (ExecStartPre=, ExecStop= and the like)"
            }
            "exit-code" => return format!("its process exited with {}", exit(self.status)),
            "signal" => return format!("its process was ended by {}", signal(self.status)),
            "core-dump" => return format!("its process crashed with {}", signal(self.status)),
            "timeout" => {
                "it took longer than TimeoutStartSec= or TimeoutStopSec= of the unit allow"
            }
            "watchdog" => "it stopped feeding the watchdog of the unit",
            "oom-kill" => "the kernel ended it because memory ran out",
            "resources" => "systemd lacked a file or a resource that the unit asks for",
            "protocol" => "it did not do what Type= of the unit promises",
            "exec-condition" => "ExecCondition= of the unit said no",
            "start-limit-hit" => "it was started too often in too short a time",
            other => return format!("its result is '{other}'"),
        };
        String::from(words)
    }

    /// Nothing has failed, but that may be news as well.
    fn well(self) -> String {
        match (self.code, self.status) {
            (CLD_EXITED, status) => {
                format!("it exited with {}: by itself, or because it was stopped", exit(status))
            }
            (CLD_KILLED | CLD_DUMPED, status) => {
                format!("it was stopped by somebody, with {}", signal(status))
            }
            _none => String::from("nothing has failed"),
        }
    }
}

/// An exit status; those from 200 on are systemd's own (systemd.exec(5), "Process Exit Codes").
fn exit(status: i32) -> String {
    let hint = match status {
        200 => "WorkingDirectory= of the unit cannot be entered",
        201 => "Nice= of the unit cannot be set",
        203 => "the program of ExecStart= cannot be run: is it there, and executable?",
        205 => "a Limit…= of the unit cannot be set",
        208 => "StandardInput= of the unit cannot be set up",
        209 => "StandardOutput= of the unit cannot be set up",
        216 => "Group= of the unit cannot be taken on: does it exist?",
        217 => "User= of the unit cannot be taken on: does it exist?",
        218 => "capabilities of the unit cannot be set",
        219 => "the cgroup of the unit cannot be set up",
        222 => "StandardError= of the unit cannot be set up",
        226 => "the unit's own view of the files cannot be set up: does every path exist?",
        228 => "SystemCallFilter= of the unit cannot be set",
        233 => "RuntimeDirectory= of the unit cannot be made",
        238 => "StateDirectory= of the unit cannot be made",
        239 => "CacheDirectory= of the unit cannot be made",
        240 => "LogsDirectory= of the unit cannot be made",
        241 => "ConfigurationDirectory= of the unit cannot be made",
        243 => "a credential of the unit cannot be set up",
        _other => return format!("status {status}"),
    };
    format!("status {status} ({hint})")
}

/// A signal by number and by name.
fn signal(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _other => return format!("signal {number}"),
    };
    format!("signal {number} ({name})")
}

/// The last lines of a log that are worth telling: without what systemd says of every end, which
/// the reason says already, without control characters, and none too long.
pub(crate) fn log_lines(text: &str, unit: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut last: Vec<String> =
        lines.filter(|line| !of_systemd(line, unit)).rev().take(LINES_MAX).map(shown).collect();
    last.reverse();
    last
}

fn shown(line: &str) -> String {
    let mut chars = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

fn of_systemd(line: &str, unit: &str) -> bool {
    const OF_A_UNIT: [&str; 11] = [
        "Main process exited",
        "Control process exited",
        "Failed with result",
        "Scheduled restart job",
        "Start request repeated too quickly",
        "Deactivated successfully",
        "Succeeded",
        "Consumed ",
        "State '",
        "Killing process",
        "Unit process ",
    ];
    const OF_A_JOB: [&str; 6] =
        ["Starting ", "Started ", "Stopping ", "Stopped ", "Failed to start ", "Finished "];
    let said = line.strip_prefix(unit).and_then(|rest| rest.strip_prefix(": "));
    match said {
        Some(said) if said.contains(" operation timed out") => true,
        Some(said) => OF_A_UNIT.iter().any(|words| said.starts_with(words)),
        // "Started convex-backend.service - Convex Backend."
        None => OF_A_JOB.iter().any(|words| {
            line.strip_prefix(words).is_some_and(|rest| {
                rest.strip_prefix(unit).is_some_and(|rest| rest.starts_with([' ', '.']))
            })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_code_and_status_is_said_with_what_can_be_done() {
        let table = [
            ("success", 0, 0, "nothing has failed"),
            ("success", CLD_EXITED, 0, "status 0: by itself, or because it was stopped"),
            ("success", CLD_KILLED, 15, "stopped by somebody, with signal 15 (SIGTERM)"),
            ("exit-code", CLD_EXITED, 7, "exited with status 7"),
            ("exit-code", CLD_EXITED, 203, "status 203 (the program of ExecStart="),
            ("exit-code", CLD_EXITED, 217, "status 217 (User="),
            ("exit-code", CLD_EXITED, 226, "view of the files"),
            ("exit-code", 0, 0, "a command beside its main process failed"),
            ("signal", 0, 0, "a command beside its main process failed"),
            ("signal", CLD_KILLED, 9, "ended by signal 9 (SIGKILL)"),
            ("signal", CLD_KILLED, 34, "ended by signal 34"),
            ("core-dump", CLD_DUMPED, 11, "crashed with signal 11 (SIGSEGV)"),
            ("timeout", CLD_KILLED, 15, "TimeoutStartSec= or TimeoutStopSec="),
            ("watchdog", CLD_DUMPED, 6, "watchdog"),
            ("oom-kill", CLD_KILLED, 9, "memory"),
            ("resources", 0, 0, "lacked"),
            ("protocol", CLD_EXITED, 0, "Type="),
            ("exec-condition", CLD_EXITED, 1, "ExecCondition="),
            ("start-limit-hit", CLD_EXITED, 1, "too often"),
            ("a-word-of-the-future", 0, 0, "'a-word-of-the-future'"),
        ];
        for (result, code, status, expected) in table {
            let words = Ended { result, code, status }.in_words();
            assert!(words.contains(expected), "{result} {code} {status}: {words}");
        }
    }

    #[test]
    fn the_last_lines_leave_out_what_systemd_says_of_every_end() {
        let text = "x.service - old\n\
                    Starting x.service - Some Backend...\n\
                    Started x.service.\n\
                    listening on port 1\n\
                    \n\
                    Starting the reaper\n\
                    x.service: Failed to locate executable /usr/bin/x: No such file or directory\n\
                    x.service: Main process exited, code=exited, status=203/EXEC\n\
                    x.service: Failed with result 'exit-code'.\n\
                    x.service: start operation timed out. Terminating.\n\
                    Failed to start x.service - Some Backend.\n";
        let expected = [
            "x.service - old",
            "listening on port 1",
            "Starting the reaper",
            "x.service: Failed to locate executable /usr/bin/x: No such file or directory",
        ];
        assert_eq!(log_lines(text, "x.service"), expected);
    }

    #[test]
    fn there_are_few_lines_and_none_is_long_or_moves_the_cursor() {
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let last = ["line 95", "line 96", "line 97", "line 98", "line 99"];
        assert_eq!(log_lines(&many, "x.service"), last);
        let long = "ü".repeat(CHARS_MAX + 1);
        let cut = format!("{}…", "ü".repeat(CHARS_MAX));
        assert_eq!(log_lines(&long, "x.service"), [cut]);
        assert_eq!(log_lines("a\u{1b}[31mred\tb\u{7}!\n", "x.service"), ["a [31mred b !"]);
        assert!(log_lines("\n \n", "x.service").is_empty());
    }
}
