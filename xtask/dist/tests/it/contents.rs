//! What a host gets, and what every package must have and must not have, whatever its format.

/// What an operator looks for, on Debian; the other systems have zsh's completions elsewhere.
pub(crate) const EXPECTED: [&str; 16] = [
    "/usr/bin/ccm",
    "/usr/bin/convex-cluster-manager",
    "/usr/lib/systemd/system/convex-cluster-manager.service",
    "/usr/share/bash-completion/completions/ccm",
    "/usr/share/bash-completion/completions/convex-cluster-manager",
    "/usr/share/fish/vendor_completions.d/ccm.fish",
    "/usr/share/man/man1/ccm.1.gz",
    "/usr/share/man/man1/ccm-init.1.gz",
    "/usr/share/man/man1/ccm-services-list.1.gz",
    "/usr/share/man/man1/convex-cluster-manager.1.gz",
    "/usr/share/doc/ccm/copyright",
    "/usr/share/doc/ccm/deploy/README.md",
    "/usr/share/doc/ccm/deploy/cluster.json",
    "/usr/share/doc/ccm/deploy/convex-backend.service",
    "/usr/share/doc/ccm/docs/packages.md",
    "/etc/convex",
];

/// One entry of a package as a listing shows it.
#[derive(Debug)]
pub(crate) struct Listed {
    /// As `-rwxr-xr-x`.
    pub(crate) mode: String,
    /// As `root/root`.
    pub(crate) owner: String,
    pub(crate) path: String,
}

/// Checks modes, owners and places; `expected` besides [`EXPECTED`].
pub(crate) fn check(listed: &[Listed], expected: &[&str]) {
    for wanted in EXPECTED.iter().chain(expected) {
        assert!(listed.iter().any(|one| one.path == *wanted), "no {wanted} in {listed:#?}");
    }
    for Listed { mode, owner, path } in listed {
        assert_eq!(owner, "root/root", "{path}");
        let wanted = match mode.as_bytes()[0] {
            b'd' => "drwxr-xr-x",
            b'l' => "lrwxrwxrwx",
            _ if path.starts_with("/usr/bin/") => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(mode, wanted, "{path}");
        let places = ["/etc", "/usr/bin", "/usr/lib", "/usr/share"];
        let on_the_way = places.iter().any(|place| place.starts_with(path.as_str()));
        assert!(on_the_way || places.iter().any(|place| path.starts_with(place)), "{path}");
        // Neither an operator's configuration, nor a backend's unit, nor what makes the packages.
        assert_ne!(path, "/etc/convex/cluster.json");
        assert_ne!(path, "/usr/lib/systemd/system/convex-backend.service");
        assert!(!path.contains("deploy/packages"), "{path}");
    }
}
