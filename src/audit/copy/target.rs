//! The thread that writes the copy: to standard output, or to a file that a log rotator may move away.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, Result, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

use super::CopyTo;

/// A text, and whom to tell that it was written.
type Job = (String, oneshot::Sender<Result<()>>);

/// A handle onto the thread, which ends with it; the process does not wait for a write that nobody takes.
pub(super) struct Thread(Sender<Job>);

impl Thread {
    pub(super) fn start(to: CopyTo) -> Self {
        let (jobs, waiting) = channel::<Job>();
        // Without the thread the other end is gone, and every write says so.
        let _thread = std::thread::Builder::new()
            .name("audit-copy".to_owned())
            .spawn(move || {
                let mut target = Target::of(to);
                for (text, told) in waiting {
                    // Who does not wait any more needs no answer.
                    let _told = told.send(target.write(text));
                }
            });
        Self(jobs)
    }

    /// Writes `text`; one at a time.
    pub(super) async fn write(&self, text: String) -> Result<()> {
        let gone = || Error::other("the thread that writes the copy has ended");
        let (told, answer) = oneshot::channel();
        self.0.send((text, told)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

enum Target {
    Stdout,
    File(Rotated),
}

impl Target {
    fn of(to: CopyTo) -> Self {
        match to {
            CopyTo::Stdout => Self::Stdout,
            CopyTo::File(path) => Self::File(Rotated { path, open: None }),
        }
    }

    fn write(&mut self, text: String) -> Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                stdout.flush()
            }
            Self::File(file) => file.write(text),
        }
    }
}

/// A file that is looked for by its name before each write.
struct Rotated {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: File,
    /// Device and number, by which it is known.
    id: (u64, u64),
    /// Whether a line was cut short.
    torn: bool,
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Rotated {
    fn write(&mut self, mut text: String) -> Result<()> {
        let there = std::fs::metadata(&self.path).ok();
        let open = self.open.take();
        let open = open.filter(|open| there.is_some_and(|there| id(&there) == open.id));
        let mut open = match open {
            Some(open) => open,
            None => self.open_anew()?,
        };
        if open.torn {
            text.insert(0, '\n');
        }
        let before = open.file.metadata()?.len();
        let written = open.file.write_all(text.as_bytes());
        open.torn = match &written {
            Ok(()) => false,
            Err(_) => open.torn || open.file.metadata()?.len() > before,
        };
        self.open = Some(open);
        written
    }

    fn open_anew(&self) -> Result<Open> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        let id = id(&file.metadata()?);
        Ok(Open {
            file,
            id,
            torn: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut target = Target::of(CopyTo::File(path.clone()));
        target.write("one\n".to_owned()).unwrap();
        target.write("two\n".to_owned()).unwrap();
        let moved = folder.path().join("audit.jsonl.1");
        std::fs::rename(&path, &moved).unwrap();
        target.write("three\n".to_owned()).unwrap();
        std::fs::remove_file(&path).unwrap();
        target.write("four\n".to_owned()).unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_full_disk_and_a_folder_that_is_not_there_are_errors_and_nothing_else() {
        let mut full = Target::of(CopyTo::File("/dev/full".into()));
        assert!(full.write("one\n".to_owned()).is_err());
        assert!(full.write("one\n".to_owned()).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not-yet/audit.jsonl");
        let mut target = Target::of(CopyTo::File(path.clone()));
        assert!(target.write("one\n".to_owned()).is_err());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        target.write("one\n".to_owned()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    }
}
