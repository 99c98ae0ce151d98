//! Columns for people. Pure.

/// Lines of cells as wide as the widest of each column.
pub(crate) fn lines(cells: &[Vec<String>]) -> Vec<String> {
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let of = |line: &Vec<String>| line.get(column).map_or(0, |cell| cell.chars().count());
        cells.iter().map(of).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |line: &Vec<String>| {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        String::from(padded.join("  ").trim_end())
    };
    cells.iter().map(line).collect()
}

/// Numbers as runs: `1-3, 7`; at most `max` runs, and how many numbers come after them.
pub(crate) fn runs(runs: &[(u32, u32)], max: usize) -> String {
    let word = |&(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let mut words: Vec<String> = runs.iter().take(max).map(word).collect();
    let rest: u64 = runs.iter().skip(max).map(|(a, b)| u64::from(b - a) + 1).sum();
    if rest > 0 {
        words.push(format!("and {rest} more"));
    }
    words.join(", ")
}

/// Numbers in order as runs.
pub(crate) fn to_runs(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => runs.push((number, number)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let cells = [["A", "LONG"], ["longer", "b"]];
        let cells: Vec<Vec<String>> = cells.map(|l| l.map(String::from).to_vec()).to_vec();
        assert_eq!(lines(&cells), ["A       LONG", "longer  b"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn numbers_are_told_as_runs() {
        let numbers = [1, 2, 3, 7, 9, 10];
        assert_eq!(runs(&to_runs(&numbers), 9), "1-3, 7, 9-10");
        assert_eq!(runs(&to_runs(&numbers), 1), "1-3, and 3 more");
        assert_eq!(runs(&[], 9), "");
    }
}
