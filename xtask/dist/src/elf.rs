//! What a program needs of the system it runs on, read from the program itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _};
use object::{Endianness, elf};

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    X86_64,
    Aarch64,
}

/// A version of a library, such as `GLIBC_2.34`, as its name and its numbers.
pub(crate) type Symbols = (String, Vec<u32>);

/// A library, and the newest version of each name that is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needed {
    /// As `libc.so.6`.
    pub(crate) library: String,
    /// As `GLIBC` and 2.34.
    pub(crate) versions: Vec<Symbols>,
}

/// The processor and the libraries of a program.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) machine: Machine,
    pub(crate) needs: Vec<Needed>,
}

impl Linked {
    /// Whether it needs no library at all.
    pub(crate) fn is_static(&self) -> bool {
        self.needs.is_empty()
    }

    /// As rustc calls what it was built for.
    pub(crate) fn target(&self) -> String {
        let libc = if self.is_static() { "musl" } else { "gnu" };
        format!("{}-unknown-linux-{libc}", self.machine.rpm())
    }

    /// Reads a 64-bit ELF file.
    pub(crate) fn read(program: &[u8]) -> Result<Self> {
        let header = FileHeader64::<Endianness>::parse(program).context("no 64-bit ELF file")?;
        let endian = header.endian()?;
        let machine = match header.e_machine(endian) {
            EM_X86_64 => Machine::X86_64,
            EM_AARCH64 => Machine::Aarch64,
            other => bail!("ELF machine {other}: packages are made for x86_64 and aarch64"),
        };
        let sections = header.sections(endian, program)?;
        let mut needs: BTreeMap<String, BTreeMap<String, Vec<u32>>> = BTreeMap::new();
        if let Some((entries, strings)) = sections.dynamic(endian, program)? {
            let strings = sections.strings(endian, program, strings)?;
            for entry in entries.iter().filter(|e| e.d_tag(endian) == u64::from(elf::DT_NEEDED)) {
                needs.entry(text(entry.string(endian, strings)?)?).or_default();
            }
        }
        if let Some((mut libraries, strings)) = sections.gnu_verneed(endian, program)? {
            let strings = sections.strings(endian, program, strings)?;
            while let Some((library, mut versions)) = libraries.next()? {
                let library = text(library.file(endian, strings)?)?;
                let of_library = needs.entry(library).or_default();
                while let Some(version) = versions.next()? {
                    let (name, numbers) = symbols(&text(version.name(endian, strings)?)?)?;
                    let newest = of_library.entry(name).or_default();
                    *newest = numbers.max(std::mem::take(newest));
                }
            }
        }
        let needed = |(library, versions): (String, BTreeMap<String, Vec<u32>>)| Needed {
            library,
            versions: versions.into_iter().collect(),
        };
        Ok(Self { machine, needs: needs.into_iter().map(needed).collect() })
    }
}

fn text(bytes: &[u8]) -> Result<String> {
    Ok(String::from_utf8(bytes.to_vec())?)
}

/// `GLIBC_2.34` as `GLIBC` and 2.34.
fn symbols(version: &str) -> Result<Symbols> {
    let (name, numbers) = version.rsplit_once('_').unwrap_or((version, ""));
    let numbers: Result<Vec<u32>, _> = numbers.split('.').map(str::parse).collect();
    let numbers = numbers.with_context(|| format!("{version:?} is no version of symbols"))?;
    ensure!(!name.is_empty(), "{version:?} is no version of symbols");
    Ok((String::from(name), numbers))
}

/// Numbers as they are written.
pub(crate) fn dotted(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_symbols_compare_as_numbers() {
        let (name, old) = symbols("GLIBC_2.4").unwrap();
        let (_, new) = symbols("GLIBC_2.34").unwrap();
        assert_eq!(name, "GLIBC");
        assert!(old < new);
        assert_eq!(dotted(&new), "2.34");
        assert_eq!(symbols("CXXABI_1.3.13").unwrap(), (String::from("CXXABI"), vec![1, 3, 13]));
        assert!(symbols("GLIBC_PRIVATE").is_err());
    }

    #[test]
    fn this_very_test_needs_the_c_library() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let linked = Linked::read(&program).unwrap();
        let libc = linked.needs.iter().find(|needed| needed.library == "libc.so.6").unwrap();
        let (name, numbers) = &libc.versions[0];
        assert_eq!(name, "GLIBC");
        assert!(numbers >= &vec![2, 17], "{numbers:?}");
        assert!(Linked::read(b"#!/bin/sh\n").is_err());
    }
}
