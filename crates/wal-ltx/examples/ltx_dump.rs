//! Prints the header and the pages of an LTX file, verifying its checksum.

use std::fs::File;
use std::io::BufReader;

use ccm_wal_ltx::codec::LtxDecoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: ltx_dump FILE")?;
    let mut decoder = LtxDecoder::new(BufReader::new(File::open(path)?))?;
    println!("{:#?}", decoder.header());
    let mut page = Vec::new();
    while let Some(pgno) = decoder.next_page(&mut page)? {
        println!("page {pgno}: {} bytes", page.len());
    }
    decoder.finish()?;
    println!("checksum and index are right");
    Ok(())
}
