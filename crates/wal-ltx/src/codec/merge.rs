//! Consecutive LTX files as one: for every page the newest version.
//!
//! Applying the merged file gives the same database as applying its inputs in order. So a page
//! counts only if no later input has cut the database off before it, and pages by which the
//! database has grown again after such a cut are zeros unless somebody wrote them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};

use super::{LtxDecoder, LtxEncoder, LtxError, LtxHeader, lock_page};

/// Why files could not be merged. What has been written is of no use.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("no LTX files to merge")]
    Nothing,
    /// An input breaks the format or its checksum.
    #[error("input {index} of the merge is not a sound LTX file")]
    Input {
        /// Its place among the inputs, from 0.
        index: usize,
        /// What is wrong.
        #[source]
        source: LtxError,
    },
    /// An input does not go on where the one before ends.
    #[error("input {index} of the merge does not fit: {why}")]
    Unfit {
        /// Its place among the inputs, from 0.
        index: usize,
        /// What does not fit.
        why: String,
    },
    /// The merged file could not be written.
    #[error("could not write the merged LTX file")]
    Output(#[source] LtxError),
}

/// One input and the page of it that comes next.
struct Input<R> {
    decoder: LtxDecoder<R>,
    page: Vec<u8>,
    /// Pages beyond this one were cut away by a later input.
    reach: u32,
}

/// Merges files, oldest first, into one, and returns the writer and the merged file's header.
///
/// The result has the first input's first transaction, the last one's last transaction, size and
/// timestamp, and no place in a WAL, as Litestream's compactions do. Each input begins at most
/// one transaction after the end of the one before and ends after it. Every input is read to its
/// end and proven before the result is completed.
///
/// Memory: one page, its compressed form and the page index of every input, and the page index
/// of the result; about ten bytes per page of an index.
///
/// # Errors
/// [`MergeError`] says which input it was.
pub fn merge<R: Read, W: Write>(
    inputs: impl IntoIterator<Item = R>,
    to: W,
) -> Result<(W, LtxHeader), MergeError> {
    let mut inputs = open(inputs)?;
    let header = header(&inputs)?;
    let mut output = Output::new(to, header, cut(&mut inputs))?;
    // The lowest page first; of the same page the newest version first.
    let mut next: BinaryHeap<Reverse<(u32, Reverse<usize>)>> = BinaryHeap::new();
    let mut inputs: Vec<Option<Input<R>>> = inputs.into_iter().map(Some).collect();
    for (index, input) in inputs.iter_mut().enumerate() {
        if let Some(pgno) = advance(index, input)? {
            next.push(Reverse((pgno, Reverse(index))));
        }
    }
    while let Some(Reverse((pgno, Reverse(index)))) = next.pop() {
        let Some(slot) = inputs.get_mut(index) else { continue };
        if let Some(input) = slot.as_ref().filter(|input| pgno <= input.reach) {
            output.page(pgno, &input.page)?;
        }
        if let Some(pgno) = advance(index, slot)? {
            next.push(Reverse((pgno, Reverse(index))));
        }
    }
    Ok((output.finish()?, header))
}

/// Opens the inputs and checks that each goes on where the one before ends.
fn open<R: Read>(inputs: impl IntoIterator<Item = R>) -> Result<Vec<Input<R>>, MergeError> {
    let mut opened: Vec<Input<R>> = Vec::new();
    for (index, reader) in inputs.into_iter().enumerate() {
        let decoder =
            LtxDecoder::new(reader).map_err(|source| MergeError::Input { index, source })?;
        let here = decoder.header();
        if let Some(before) = opened.last().map(|input| input.decoder.header()) {
            let unfit = |why: String| Err(MergeError::Unfit { index, why });
            if here.page_size != before.page_size {
                return unfit(format!("page size {} after {}", here.page_size, before.page_size));
            }
            if here.min > before.max.next() || here.max <= before.max || here.min < before.min {
                return unfit(format!(
                    "transactions {} to {} after {} to {}",
                    here.min, here.max, before.min, before.max
                ));
            }
        }
        let reach = here.commit;
        opened.push(Input { decoder, page: Vec::new(), reach });
    }
    Ok(opened)
}

fn header<R: Read>(inputs: &[Input<R>]) -> Result<LtxHeader, MergeError> {
    let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else {
        return Err(MergeError::Nothing);
    };
    Ok(LtxHeader {
        min: first.decoder.header().min,
        wal_offset: 0,
        wal_size: 0,
        wal_salt1: 0,
        wal_salt2: 0,
        ..*last.decoder.header()
    })
}

/// Says of every input which pages later ones leave of it; returns the smallest size of all.
fn cut<R: Read>(inputs: &mut [Input<R>]) -> u32 {
    let mut smallest = u32::MAX;
    for input in inputs.iter_mut().rev() {
        smallest = smallest.min(input.reach);
        input.reach = smallest;
    }
    smallest
}

/// Reads the next page of an input; at its end proves its content and lets it go.
fn advance<R: Read>(index: usize, slot: &mut Option<Input<R>>) -> Result<Option<u32>, MergeError> {
    let failed = |source| MergeError::Input { index, source };
    let Some(input) = slot else { return Ok(None) };
    let pgno = input.decoder.next_page(&mut input.page).map_err(failed)?;
    if pgno.is_none()
        && let Some(input) = slot.take()
    {
        input.decoder.finish().map_err(failed)?;
    }
    Ok(pgno)
}

/// The merged file: takes each page once, and fills what nobody has written with zeros.
struct Output<W> {
    encoder: LtxEncoder<W>,
    commit: u32,
    lock: u32,
    zeros: Vec<u8>,
    /// Up to here pages are written, or may be absent because the base still has them.
    done: u32,
    /// The last page written.
    last: u32,
}

impl<W: Write> Output<W> {
    fn new(to: W, header: LtxHeader, smallest: u32) -> Result<Self, MergeError> {
        Ok(Self {
            encoder: LtxEncoder::new(to, header).map_err(MergeError::Output)?,
            commit: header.commit,
            lock: lock_page(header.page_size),
            zeros: vec![0; header.page_size as usize],
            done: smallest,
            last: 0,
        })
    }

    fn page(&mut self, pgno: u32, data: &[u8]) -> Result<(), MergeError> {
        if pgno <= self.last {
            // An older version.
            return Ok(());
        }
        self.fill(pgno.saturating_sub(1))?;
        self.encoder.page(pgno, data).map_err(MergeError::Output)?;
        self.done = self.done.max(pgno);
        self.last = pgno;
        Ok(())
    }

    /// Zeros for what is missing up to this page.
    fn fill(&mut self, to: u32) -> Result<(), MergeError> {
        while self.done < to {
            self.done += 1;
            if self.done != self.lock {
                self.encoder.page(self.done, &self.zeros).map_err(MergeError::Output)?;
                self.last = self.done;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<W, MergeError> {
        self.fill(self.commit)?;
        self.encoder.finish().map_err(MergeError::Output)
    }
}

#[cfg(test)]
mod tests;
