
# What the scripts of the packages share; they run with set -eu.

unit=convex-cluster-manager.service
config=/etc/convex/cluster.json

# Whether systemd runs here: not in a chroot, not while an image is made.
booted() {
    [ -d /run/systemd/system ]
}

# A text of the configuration, by its key, or what it is when nothing is said.
configured() {
    found=
    if [ -r "$config" ]; then
        found=$(sed -n 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$config" | head -n 1)
    fi
    echo "${found:-$2}"
}

# The user under which whatever needs no root can run.
make_user() {
    getent group ccm >/dev/null || groupadd --system ccm
    getent passwd ccm >/dev/null || useradd --system --gid ccm --no-create-home \
        --home-dir /nonexistent --shell /usr/sbin/nologin --comment 'Convex cluster manager' ccm
}

# The folder of the database, when the backend's user is there to own it.
make_folders() {
    if [ ! -e /var/lib/convex ] && getent passwd convex >/dev/null; then
        install -d -m 755 -o convex -g convex /var/lib/convex
    fi
}

reload_units() {
    if booted; then
        systemctl daemon-reload || true
    fi
}

# Has the new program take the place of the daemon that runs, and leaves the backend serving.
# SIGTERM would have the primary move away. After SIGKILL the guard keeps the backend and the
# virtual IP until the lease runs out, and the new daemon goes on with both before that.
replace_daemon() {
    booted || return 0
    pid=$(systemctl show --property=MainPID --value "$unit") || pid=0
    if [ "${pid:-0}" -eq 0 ]; then
        return 0
    fi
    # 64 is a configuration that the new program does not take.
    refused=0
    words=$(/usr/bin/ccm check --config "$config" 2>&1) || refused=$?
    if [ "$refused" -eq 64 ]; then
        echo "ccm: the running daemon was left as it is, for the new one refuses its configuration:" >&2
        echo "$words" >&2
        echo "ccm: mend it, then: systemctl restart $unit" >&2
        return 0
    fi
    # Without a guard nobody would keep the backend: then it is a planned move.
    if ! grep -Eqs '"enabled"[[:space:]]*:[[:space:]]*false' "$config"; then
        kill -KILL "$pid" || true
    fi
    systemctl restart "$unit" ||
        echo "ccm: the new daemon does not start: see journalctl -u $unit" >&2
}

# A planned move, then the end of the backend here; a removal waits for it and fails with it.
stop_daemon() {
    if booted; then
        systemctl stop "$unit"
    fi
}

say_what_is_kept() {
    data=$(configured dataPath /var/lib/convex/data.db)
    replica=$(configured replicaPath /var/lib/convex/replica.db)
    for path in "$data" "$replica" "$replica-ccm" "$data".diverged-*; do
        if [ -e "$path" ]; then
            echo "ccm: kept: $path"
        fi
    done
}
