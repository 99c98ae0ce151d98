//! What a package has at one path.

/// What a package has at one path.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Absolute.
    pub(crate) path: String,
    pub(crate) what: What,
    pub(crate) for_whom: ForWhom,
}

/// Folders, files and links; all of them belong to root.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Folder,
    File { bytes: Vec<u8>, mode: u32 },
    Link { to: String },
}

/// Where an entry is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForWhom {
    Everybody,
    Debian,
    Rpm,
}

/// Programs.
const EXECUTABLE: u32 = 0o755;
/// Everything else.
const READABLE: u32 = 0o644;

impl Entry {
    pub(crate) fn program(path: &str, bytes: Vec<u8>) -> Self {
        Self::new(path, What::File { bytes, mode: EXECUTABLE })
    }

    pub(crate) fn file(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(path, What::File { bytes: bytes.into(), mode: READABLE })
    }

    pub(crate) fn link(path: &str, to: &str) -> Self {
        Self::new(path, What::Link { to: String::from(to) })
    }

    pub(crate) fn folder(path: &str) -> Self {
        Self::new(path, What::Folder)
    }

    fn new(path: &str, what: What) -> Self {
        Self { path: String::from(path), what, for_whom: ForWhom::Everybody }
    }

    pub(crate) fn only(mut self, for_whom: ForWhom) -> Self {
        self.for_whom = for_whom;
        self
    }

    /// Whether the operator's changes to it are kept.
    pub(crate) fn is_configuration(&self) -> bool {
        matches!(self.what, What::File { .. }) && self.path.starts_with("/etc/")
    }

    /// Whether nothing needs it to run.
    pub(crate) fn is_document(&self) -> bool {
        matches!(self.what, What::File { .. } | What::Link { .. })
            && ["/usr/share/doc/", "/usr/share/man/"].iter().any(|of| self.path.starts_with(of))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.what {
            What::File { bytes, .. } => bytes,
            What::Folder | What::Link { .. } => &[],
        }
    }
}
