//! Installed, upgraded, removed and purged by the real dpkg and the real rpm.

use crate::host::{Chapters, tell};

/// What is on a node that has served: written by ccm and by its backend, not by the package.
const NODE: &str = r#"
ccm init --cluster-id c --node-id "$(uname -n)" --nats nats://127.0.0.1:4222 >/dev/null
mkdir -p /var/lib/convex/replica.db-ccm
touch /var/lib/convex/data.db /var/lib/convex/replica.db
touch /var/lib/convex/data.db.diverged-e1-t2-1
"#;

/// What stays, in the words of the packages.
const KEPT: [&str; 4] = [
    "ccm: kept: /var/lib/convex/data.db\n",
    "ccm: kept: /var/lib/convex/replica.db\n",
    "ccm: kept: /var/lib/convex/replica.db-ccm\n",
    "ccm: kept: /var/lib/convex/data.db.diverged-e1-t2-1\n",
];

fn deb() -> Chapters {
    let story = format!(
        r#"
        alias dpkg='dpkg --force-unsafe-io'
        chapter install
        dpkg --install /run/first/*.deb; calls
        getent passwd ccm; dpkg --verify ccm; stat --format '%a %U %n' /etc/convex
        ccm version; convex-cluster-manager version
        {NODE}
        echo '# mine' >>/etc/needrestart/conf.d/convex.conf
        chapter upgrade
        daemon; dpkg --install /run/second/*.deb; ended; calls
        tail -n 1 /etc/needrestart/conf.d/convex.conf
        cp /etc/convex/cluster.json /etc/convex/good.json
        chapter unguarded
        sed -i '1s/{{/{{ "guard": {{ "enabled": false }},/' /etc/convex/cluster.json
        daemon; dpkg --install /run/second/*.deb; lives; calls
        chapter refused
        echo '{{ "clusterId": 1 }}' >/etc/convex/cluster.json
        dpkg --install /run/second/*.deb; lives; calls
        mv /etc/convex/good.json /etc/convex/cluster.json
        chapter remove
        dpkg --remove ccm; ended; calls
        ls -d /etc/convex/cluster.json /usr/bin/ccm || true
        chapter again
        dpkg --install /run/second/*.deb; calls; dpkg --remove ccm
        chapter purge
        dpkg --purge ccm; calls
        ls -d /etc/convex /etc/needrestart/conf.d/convex.conf || true
        ls /var/lib/convex
        dpkg-query --show ccm || true
        "#
    );
    tell("deb", &story)
}

#[test]
fn a_debian_host_is_installed_upgraded_removed_and_purged() {
    let told = deb();
    let install = &told["install"];
    assert!(install.contains("systemctl daemon-reload\n"), "{install}");
    assert!(install.contains("ccm init comes first"), "{install}");
    assert!(install.contains("/nonexistent:/usr/sbin/nologin\n"), "{install}");
    assert!(install.contains("755 root /etc/convex\n"), "{install}");
    assert_eq!(install.matches(concat!("ccm ", env!("CARGO_PKG_VERSION"), "\n")).count(), 2);
    for verb in ["enable", "preset", "start", "restart", "stop", "mask"] {
        assert!(!install.contains(&format!("systemctl {verb}")), "{install}");
    }

    // By SIGKILL, which is no planned move; and never a stop.
    let upgrade = &told["upgrade"];
    assert!(upgrade.contains("the daemon ended with 137\n"), "{upgrade}");
    assert!(upgrade.contains("systemctl restart convex-cluster-manager.service\n"), "{upgrade}");
    assert!(!upgrade.contains("systemctl stop"), "{upgrade}");
    assert!(upgrade.ends_with("# mine\n"), "{upgrade}");

    // Without a guard systemd stops the daemon in order, here a stand-in that it does not know.
    let unguarded = &told["unguarded"];
    assert!(unguarded.contains("the daemon lives\n"), "{unguarded}");
    assert!(unguarded.contains("systemctl restart"), "{unguarded}");

    let refused = &told["refused"];
    assert!(refused.contains("the daemon lives\n"), "{refused}");
    assert!(refused.contains("clusterId must be a string"), "{refused}");
    assert!(!refused.contains("\nsystemctl restart"), "{refused}");

    let remove = &told["remove"];
    assert!(remove.contains("the daemon ended with 143\n"), "{remove}");
    assert!(remove.contains("\n/etc/convex/cluster.json\n"), "{remove}");
    assert!(remove.contains("cannot access '/usr/bin/ccm'"), "{remove}");

    let purge = &told["purge"];
    for kept in KEPT {
        assert!(purge.contains(kept), "{purge}");
    }
    for gone in ["/etc/convex", "/etc/needrestart/conf.d/convex.conf"] {
        assert!(purge.contains(&format!("cannot access '{gone}'")), "{purge}");
    }
    assert!(purge.contains("\ndata.db\n"), "{purge}");
    assert!(purge.contains("no packages found matching ccm"), "{purge}");
}

#[test]
fn a_host_with_rpm_is_installed_upgraded_and_erased() {
    let story = format!(
        r#"
        rpm() {{ command rpm --nodeps --force-debian "$@"; }}
        chapter install
        rpm --install /run/first/*.rpm; calls
        getent passwd ccm; ccm version
        {NODE}
        chapter upgrade
        daemon; rpm --upgrade /run/second/*.rpm; ended; calls
        command rpm --query ccm; command rpm --verify --nodeps ccm
        chapter erase
        daemon; rpm --erase ccm; ended; calls
        ls -d /etc/convex/cluster.json /usr/bin/ccm || true
        ls /var/lib/convex
        "#
    );
    let told = tell("rpm", &story);
    let install = &told["install"];
    assert!(install.contains("/nonexistent:/usr/sbin/nologin\n"), "{install}");
    for verb in ["enable", "preset", "start", "restart", "stop"] {
        assert!(!install.contains(&format!("systemctl {verb}")), "{install}");
    }

    let upgrade = &told["upgrade"];
    assert!(upgrade.contains("the daemon ended with 137\n"), "{upgrade}");
    assert!(upgrade.contains("systemctl restart convex-cluster-manager.service\n"), "{upgrade}");
    assert!(!upgrade.contains("systemctl stop"), "{upgrade}");
    assert!(upgrade.contains(concat!("\nccm-", env!("CARGO_PKG_VERSION"), "-2.")), "{upgrade}");

    let erase = &told["erase"];
    assert!(erase.contains("the daemon ended with 143\n"), "{erase}");
    assert!(erase.contains("systemctl --quiet disable"), "{erase}");
    for kept in KEPT {
        assert!(erase.contains(kept), "{erase}");
    }
    assert!(erase.contains("cannot access '/usr/bin/ccm'"), "{erase}");
    assert!(erase.contains("\ndata.db\n"), "{erase}");
}
