//! What shells have to read: maintainer scripts and completions; and what man has to.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::made::{self, folder, run};

/// Has a shell read a script without running it.
fn reads(shell: &str, script: &str) {
    let mut shell = Command::new(shell);
    let mut child = shell.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{words}\n{script}");
}

#[test]
fn maintainer_scripts_are_ones_that_sh_reads() {
    let control = folder("control");
    let mut dpkg_deb = Command::new("dpkg-deb");
    run(dpkg_deb.arg("--control").arg(made::first().file(".deb")).arg(&control));
    for name in ["postinst", "prerm", "postrm"] {
        let script = std::fs::read_to_string(control.join(name)).unwrap();
        assert!(script.starts_with("#!/bin/sh\nset -eu\n"), "{script}");
        reads("sh", &script);
    }
    let package = made::first().file(".rpm");
    for tag in ["POSTIN", "PREUN", "POSTUN", "POSTTRANS"] {
        let format = format!("%{{{tag}}}");
        let mut rpm = Command::new("rpm");
        let script = run(rpm.args(["-qp", "--queryformat", &format]).arg(&package));
        assert!(script.starts_with("set -eu\n"), "{tag}: {script}");
        reads("sh", &script);
    }
}

#[test]
fn completions_are_of_both_names_and_ones_that_the_shell_reads() {
    let data = folder("completions");
    run(Command::new("dpkg-deb").arg("--extract").arg(made::first().file(".deb")).arg(&data));
    for name in ["ccm", "convex-cluster-manager"] {
        let read = |path: String| std::fs::read_to_string(data.join(path)).unwrap();
        let bash = read(format!("usr/share/bash-completion/completions/{name}"));
        reads("bash", &bash);
        assert!(bash.contains(&format!(" {name}\n")), "{bash}");
        let zsh = read(format!("usr/share/zsh/vendor-completions/_{name}"));
        assert!(zsh.starts_with(&format!("#compdef {name}\n")), "{zsh}");
        let fish = read(format!("usr/share/fish/vendor_completions.d/{name}.fish"));
        assert!(fish.contains(&format!("complete -c {name} ")), "{fish}");
    }
}

#[test]
fn completions_complete_in_a_real_bash() {
    let data = folder("completing");
    run(Command::new("dpkg-deb").arg("--extract").arg(made::first().file(".deb")).arg(&data));
    let script = data.join("usr/share/bash-completion/completions/ccm");
    let complete = |words: &str, word: &str| {
        let line = format!(
            "source \"$0\"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _ccm ccm '{word}' ccm; echo \"${{COMPREPLY[*]}}\""
        );
        run(Command::new("bash").args(["-c", &line]).arg(&script))
    };
    assert_eq!(complete("ccm services ex", "ex"), "export\n");
    let all = complete("ccm ''", "");
    let offered: Vec<&str> = all.split_whitespace().collect();
    for (command, is_offered) in [("status", true), ("guard", false), ("man", false)] {
        assert_eq!(offered.contains(&command), is_offered, "{command} in {all}");
    }
}

#[test]
fn man_pages_are_there_for_every_command_that_help_shows() {
    let data = folder("man");
    run(Command::new("dpkg-deb").arg("--extract").arg(made::first().file(".deb")).arg(&data));
    let help = run(Command::new(data.join("usr/bin/ccm")).arg("--help"));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let page = data.join(format!("usr/share/man/man1/ccm-{command}.1.gz"));
        let text = run(Command::new("gzip").args(["--decompress", "--stdout"]).arg(&page));
        assert!(text.contains(&format!(".TH ccm-{command} 1")), "{text}");
        assert!(text.contains("\n.SH SYNOPSIS\n"), "{text}");
    }
    let hidden = data.join("usr/share/man/man1/ccm-guard.1.gz");
    assert!(!hidden.exists(), "a hidden command has a page");
}
