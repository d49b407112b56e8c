//! What the system says of this process, from `/proc`; where it says nothing, nothing is told.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Memory, time and files of the process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Process {
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
    /// How long after the system's start it was started.
    since_boot_seconds: Option<f64>,
    pub(super) threads: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
}

/// What the system is measured in.
#[derive(Debug, Clone, Copy)]
struct Units {
    page_bytes: u64,
    ticks_a_second: u32,
}

impl Process {
    /// As it is now.
    pub(super) fn now() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let units = Units {
            page_bytes: u64::try_from(rustix::param::page_size()).unwrap_or(0),
            ticks_a_second: u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100),
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

    /// When this process was started, where it is now `now`; both in seconds since 1970. What `/proc` says of the
    /// whole system is not asked: a service sees its processes alone (systemd's `ProcSubset=pid`).
    pub(super) fn started_at(now: f64) -> Option<f64> {
        let since_boot = Self::now().since_boot_seconds?;
        let up = clock_gettime(ClockId::Boottime);
        let up = Duration::new(up.tv_sec.try_into().ok()?, up.tv_nsec.try_into().ok()?);
        Some(now - (up.as_secs_f64() - since_boot))
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
            since_boot_seconds: ticks(22),
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
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::model::{Clock, SystemClock};

    #[test]
    fn the_lines_of_proc_are_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 11 0 1000 123456 300 18446744073709551615 1";
        let units = Units {
            page_bytes: 4096,
            ticks_a_second: 100,
        };
        let read = Process::read(stat, units);
        assert_eq!(read.resident_bytes, Some(300 * 4096));
        assert_eq!(read.virtual_bytes, Some(123_456));
        assert_eq!(read.cpu_seconds, Some(2.0));
        assert_eq!(read.since_boot_seconds, Some(10.0));
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
        assert!(now.since_boot_seconds.unwrap() > 0.0, "{now:?}");
    }

    #[test]
    fn it_is_known_when_this_process_started() {
        let folder = fs::metadata("/proc/self").unwrap();
        let made = folder.modified().unwrap().duration_since(UNIX_EPOCH);
        let now = SystemClock.now();
        let now = f64::from(u32::try_from(now.timestamp()).unwrap());
        let started = Process::started_at(now).unwrap();
        // Neither in the future nor before what the system itself says, but for the seconds left out here.
        assert!(started <= now + 1.0, "{started} {now}");
        assert!(started > now - 86_400.0, "{started} {now}");
        assert!(made.unwrap().as_secs_f64() > started - 2.0, "{started}");
    }
}
