//! How many connections the process may hold: each is two open files, and the store, STS and the IdPs need some too.
//!
//! The soft limit is raised to the hard one, which every service that serves strangers does: the soft one is low for
//! the sake of programs that use `select`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are a denial of service of their own; who needs them says so.
const USUAL: usize = 8000;
/// Where the system does not say.
const UNKNOWN: usize = 1024;

/// How many connections are taken at once: `wanted`, or what three quarters of the open files permit, at two for each.
pub(super) fn connections(wanted: Option<usize>) -> usize {
    let permitted = permitted(raise());
    let Some(wanted) = wanted else {
        return permitted.min(USUAL);
    };
    if wanted > permitted {
        tracing::warn!(
            event = "few_open_files",
            wanted,
            permitted,
            "server.limits.max_connections is more than the limit on open files permits; raise LimitNOFILE or ulimit -n"
        );
    }
    wanted
}

fn permitted(files: usize) -> usize {
    (files / 8 * 3).max(16)
}

/// Raises the soft limit on open files to the hard one; what it is then.
fn raise() -> usize {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // Where it may not be raised, the limit there is holds.
    let _raised = setrlimit(Resource::Nofile, raised);
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(UNKNOWN, |files| usize::try_from(files).unwrap_or(UNKNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_left_for_the_store_and_for_aws() {
        assert_eq!(permitted(1024), 384);
        assert_eq!(permitted(8), 16);
        assert_eq!(connections(Some(100)), 100);
        assert!(connections(None) <= USUAL);
    }
}
