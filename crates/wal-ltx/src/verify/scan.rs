//! Two databases, page by page.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::codec::lock_page;
use crate::local::LocalError;
use crate::restore::image::Image;

/// Compares the pages of an image with those of another database of the same page size. `differs`
/// hears of every page that differs and what it is in the other one, `None` beyond its end.
pub(super) fn scan(
    image: &Image,
    path: &Path,
    mut differs: impl FnMut(u32, Option<Vec<u8>>),
) -> Result<(), LocalError> {
    let Some(shape) = image.shape() else { return Ok(()) };
    let failed = |e| LocalError::io("read", path)(e);
    let file = File::open(path).map_err(failed)?;
    let pages = file.metadata().map_err(failed)?.len() / u64::from(shape.page_size);
    let pages = u32::try_from(pages).unwrap_or(u32::MAX).max(shape.pages);
    let lock = lock_page(shape.page_size);
    let mut ours = vec![0; shape.page_size as usize];
    let mut theirs = ours.clone();
    for pgno in (1..=pages).filter(|pgno| *pgno != lock) {
        let here = pgno <= shape.pages && image.read_page(pgno, &mut ours).map_err(failed)?;
        let at = (u64::from(pgno) - 1) * u64::from(shape.page_size);
        let there = match file.read_exact_at(&mut theirs, at) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(failed(error)),
        };
        if here != there || (here && ours != theirs) {
            differs(pgno, there.then(|| theirs.clone()));
        }
    }
    Ok(())
}
