//! `backend.user` and `backend.group`: who owns a promoted file.

use super::json::Problem;
use super::section::Section;

/// User and group IDs; `None` when no user is configured.
pub(super) fn read(backend: &Section<'_>) -> Result<Option<(u32, u32)>, Problem> {
    let find = |key, file, what| {
        backend.parsed(key, |name| {
            look_up(file, name).ok_or_else(|| {
                format!("there is no such {what} in {file}: create it, or write the number")
            })
        })
    };
    let user = find("user", "/etc/passwd", "user")?;
    let group = find("group", "/etc/group", "group")?;
    match (user, group) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(backend.missing("user", " where group is given")),
        (Some((uid, _)), Some((gid, _))) => Ok(Some((uid, gid))),
        (Some((uid, Some(gid))), None) => Ok(Some((uid, gid))),
        (Some((_, None)), None) => {
            Err(backend.missing("group", " where user is a number without an entry"))
        }
    }
}

fn look_up(file: &str, name: &str) -> Option<(u32, Option<u32>)> {
    find(&std::fs::read_to_string(file).unwrap_or_default(), name)
}

/// The ID of `name` (which may be a number) in the style of passwd(5), and in a user's line the
/// ID of the group.
fn find(table: &str, name: &str) -> Option<(u32, Option<u32>)> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let first = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        let group = fields.next().and_then(|field| field.parse().ok());
        (first == name || name.parse() == Ok(id)).then_some((id, group))
    };
    table.lines().find_map(line).or_else(|| Some((name.parse().ok()?, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nconvex:x:998:997::/var/lib/convex:/bin/false\n";
        assert_eq!(find(passwd, "convex"), Some((998, Some(997))));
        assert_eq!(find(passwd, "998"), Some((998, Some(997))));
        assert_eq!(find(passwd, "4000"), Some((4000, None)));
        assert_eq!(find(passwd, "nobody"), None);
        assert_eq!(find("convex:x:997:\n", "convex"), Some((997, None)));
    }
}
