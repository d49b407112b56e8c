//! What the system says of this process, from `/proc`; where it says nothing, nothing is told.

use std::fs;

/// Memory, time and files of the process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Process {
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) start_time_seconds: Option<f64>,
    pub(super) threads: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
}

/// What the system is measured in.
#[derive(Debug, Clone, Copy)]
struct Units {
    page_bytes: u64,
    ticks_a_second: u32,
    /// When the system started, in seconds since 1970.
    booted_at: Option<u32>,
}

impl Process {
    /// As it is now.
    pub(super) fn now() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let units = Units {
            page_bytes: u64::try_from(rustix::param::page_size()).unwrap_or(0),
            ticks_a_second: u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100),
            booted_at: field(&text("/proc/stat"), "btime"),
        };
        let files = fs::read_dir("/proc/self/fd").ok();
        let files = files.map(Iterator::count);
        Self {
            // The look itself has one open.
            open_files: files.and_then(|count| u64::try_from(count).ok()?.checked_sub(1)),
            most_files: most_files(&text("/proc/self/limits")),
            ..Self::read(&text("/proc/self/stat"), units)
        }
    }

    /// From the text of `stat` (proc(5)), whose second field may hold blanks and brackets.
    fn read(stat: &str, units: Units) -> Self {
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Fields are numbered from 1 in proc(5), and `rest` begins with the third.
        let at = |number: usize| fields.get(number.checked_sub(3)?).copied();
        let ticks = |number| {
            let ticks: u32 = at(number)?.parse().ok()?;
            Some(f64::from(ticks) / f64::from(units.ticks_a_second.max(1)))
        };
        Self {
            resident_bytes: at(24)
                .and_then(|pages| pages.parse::<u64>().ok()?.checked_mul(units.page_bytes)),
            virtual_bytes: at(23).and_then(|bytes| bytes.parse().ok()),
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
            start_time_seconds: ticks(22)
                .zip(units.booted_at)
                .map(|(after, booted)| f64::from(booted) + after),
            threads: at(20).and_then(|threads| threads.parse().ok()),
            ..Self::default()
        }
    }
}

/// The number behind the word `name` at the beginning of a line.
fn field<T: std::str::FromStr>(text: &str, name: &str) -> Option<T> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn most_files(limits: &str) -> Option<u64> {
    field(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_proc_are_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 11 0 1000 123456 300 18446744073709551615 1";
        let units = Units {
            page_bytes: 4096,
            ticks_a_second: 100,
            booted_at: Some(1_700_000_000),
        };
        let read = Process::read(stat, units);
        assert_eq!(read.resident_bytes, Some(300 * 4096));
        assert_eq!(read.virtual_bytes, Some(123_456));
        assert_eq!(read.cpu_seconds, Some(2.0));
        assert_eq!(read.start_time_seconds, Some(1_700_000_010.0));
        assert_eq!(read.threads, Some(11));
        assert_eq!(Process::read("", units), Process::default());
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(most_files(limits), Some(1024));
    }

    #[test]
    fn this_process_is_told_of() {
        let now = Process::now();
        assert!(now.resident_bytes.unwrap() > 1_000_000, "{now:?}");
        assert!(now.open_files.unwrap() > 2, "{now:?}");
        assert!(now.most_files.unwrap() > 2, "{now:?}");
        assert!(now.start_time_seconds.unwrap() > 1.6e9, "{now:?}");
    }
}
