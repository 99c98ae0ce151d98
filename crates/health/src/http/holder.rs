//! Who listens at a port, as /proc tells (proc(5)): the kernel knows the socket, and the socket is
//! among the open files of a process.

use std::fmt;
use std::fs;
use std::path::Path;

/// `TCP_LISTEN` in /proc/net/tcp.
const LISTENING: &str = "0A";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// The name of its program, at most 15 characters.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// The first process found that listens at `port`, at any address; `None` when there is none, or
/// when this process may not look into it.
#[must_use]
pub fn who_listens(port: u16) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        holds(&process.path(), &sockets).then(|| Holder { pid, name: name(&process.path()) })
    })
}

/// The inodes of the sockets that listen at `port` in a table like /proc/net/tcp.
fn inodes(table: &str, port: u16) -> Vec<String> {
    let here = format!(":{port:04X}");
    let listens = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        (local.ends_with(&here) && *state == LISTENING).then(|| String::from(*inode))
    };
    table.lines().skip(1).filter_map(listens).collect()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    let targets = files.filter_map(Result::ok).filter_map(|file| fs::read_link(file.path()).ok());
    let mut targets = targets.filter_map(|target| target.into_os_string().into_string().ok());
    targets.any(|target| sockets.contains(&target))
}

fn name(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let name = name.trim();
    String::from(if name.is_empty() { "a process" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_in_the_table_of_the_kernel() {
        let queues = "00000000:00000000 00:00000000 00000000     0        0";
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
             0: 00000000:1F90 00000000:0000 0A {queues} 4711 1 0 100 0 0 10 0\n   \
             1: 0100007F:1F90 0100007F:D431 01 {queues} 4712 1 0 20 4 30 10 -1\n   \
             2: 0100007F:11F90 00000000:0000 0A\n"
        );
        let table = table.as_str();
        assert_eq!(inodes(table, 8080), ["4711"]);
        assert!(inodes(table, 8081).is_empty());
    }

    #[test]
    fn this_process_is_found_at_its_own_port() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(who_listens(port).map(|holder| holder.pid), Some(std::process::id()));
    }
}
