//! What a database contains: the commit that made it, and so all commits before that one.

use crate::time::Time;

/// The content of a database after one commit; 0 is an empty database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Version(u32);

#[derive(Debug, Clone, Copy)]
struct Commit {
    before: Version,
    depth: u32,
    at: Time,
}

/// Every version that any database of the run has had: a tree.
#[derive(Debug)]
pub(crate) struct Versions(Vec<Commit>);

impl Versions {
    pub(crate) fn new() -> Self {
        Self(vec![Commit { before: Version(0), depth: 0, at: 0 }])
    }

    fn commit_of(&self, version: Version) -> Commit {
        self.0.get(version.0 as usize).copied().unwrap_or(Commit {
            before: Version(0),
            depth: 0,
            at: 0,
        })
    }

    /// One more commit on top of `before`.
    pub(crate) fn commit(&mut self, before: Version, at: Time) -> Version {
        let depth = self.commit_of(before).depth + 1;
        let version = Version(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Commit { before, depth, at });
        version
    }

    /// How many commits it consists of.
    pub(crate) fn depth(&self, version: Version) -> u32 {
        self.commit_of(version).depth
    }

    /// When its last commit was made.
    pub(crate) fn made_at(&self, version: Version) -> Time {
        self.commit_of(version).at
    }

    /// Whether `later` has everything that `earlier` has.
    pub(crate) fn contains(&self, later: Version, earlier: Version) -> bool {
        let depth = self.depth(earlier);
        let mut at = later;
        while self.depth(at) > depth {
            at = self.commit_of(at).before;
        }
        at == earlier
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_do_not_contain_each_other() {
        let mut versions = Versions::new();
        let a = versions.commit(Version::default(), 1);
        let b = versions.commit(a, 2);
        let c = versions.commit(a, 3);
        assert!(versions.contains(b, a) && versions.contains(c, a) && versions.contains(b, b));
        assert!(!versions.contains(b, c) && !versions.contains(a, b));
    }
}
