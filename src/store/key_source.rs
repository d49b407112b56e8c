//! Where master keys come from: a file that rolegate may make and add to, or a command of the operator's.
//!
//! Trusts the file system for who may read the file, and the command for what it prints. Never makes a key where a
//! database exists already, since that would hide that the right one is lost; never repeats what a source holds.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::StoreError;
use super::key::{MasterKey, MasterKeyId, parse};

/// Whatever is longer is no file of keys.
const MOST_BYTES: u64 = 65_536;

/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where master keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, one key a line.
    File(PathBuf),
    /// A program and its arguments, that prints what such a file holds.
    Command(Vec<String>),
    /// A test.
    #[cfg(test)]
    Given(String),
}

/// By what a file is known to have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    changed: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            // Its arguments may be nobody's business.
            Self::Command(words) => {
                write!(
                    f,
                    "the command {}",
                    words.first().map_or("", String::as_str)
                )
            }
            #[cfg(test)]
            Self::Given(origin) => f.write_str(origin),
        }
    }
}

impl KeySource {
    /// The keys that it has now.
    pub async fn read(&self) -> Result<Vec<MasterKey>, StoreError> {
        let text = match self {
            Self::File(path) => read_file(path).map_err(|error| self.unreadable(&error))?,
            Self::Command(words) => self.ask(words).await?,
            #[cfg(test)]
            Self::Given(_) => return Ok(Vec::new()),
        };
        parse(&text).map_err(|problem| self.unusable(problem))
    }

    /// Whether a start would make the keys: there is no file yet.
    pub fn can_be_made(&self) -> bool {
        match self {
            Self::File(path) => !path.exists(),
            Self::Command(_) => false,
            #[cfg(test)]
            Self::Given(_) => false,
        }
    }

    /// As [`KeySource::read`] for a file, which takes no time; `None` for what would.
    pub(super) fn read_at_once(&self) -> Option<Result<Vec<MasterKey>, StoreError>> {
        let Self::File(path) = self else { return None };
        let text = read_file(path).map_err(|error| self.unreadable(&error));
        Some(text.and_then(|text| parse(&text).map_err(|problem| self.unusable(problem))))
    }

    /// As [`KeySource::read`]; where there is neither file nor database, makes a file with a new key, mode 0600.
    pub(super) async fn read_or_create(
        &self,
        database_exists: bool,
    ) -> Result<Vec<MasterKey>, StoreError> {
        let Self::File(path) = self else {
            return self.read().await;
        };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && database_exists => {
                Err(StoreError::MasterKeyMissing {
                    path: path.display().to_string(),
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = MasterKey::fresh();
                let text = Zeroizing::new(format!("{}\n", *key.line()));
                match write_new(path, text.as_bytes()) {
                    Ok(()) => Ok(vec![key]),
                    // Another process made one at the same time: the first one's counts.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => self.read().await,
                    Err(error) => Err(self.unusable(format!("cannot be made: {error}"))),
                }
            }
            _ => self.read().await,
        }
    }

    /// What tells that a file was changed; `None` where there is no file to look at.
    pub fn stamp(&self) -> Option<Stamp> {
        let Self::File(path) = self else { return None };
        let about = std::fs::metadata(path).ok()?;
        Some(Stamp {
            changed: about.modified().ok(),
            length: about.len(),
            number: about.ino(),
        })
    }

    /// Makes a key and adds it to the file as its last line, on disk when this returns. `None` where there is no
    /// file: whoever keeps the keys adds one there.
    pub fn add_key(&self) -> Result<Option<MasterKeyId>, StoreError> {
        let Self::File(path) = self else {
            return Ok(None);
        };
        let key = MasterKey::fresh();
        self.rewrite(path, |text| {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{end}# {}\n{}\n", key.id(), *key.line())
        })?;
        Ok(Some(key.id()))
    }

    /// Takes the line of a key out of the file, on disk when this returns; says whether it was there. `None` where
    /// there is no file.
    pub fn remove_key(&self, id: MasterKeyId) -> Result<Option<bool>, StoreError> {
        let Self::File(path) = self else {
            return Ok(None);
        };
        if self
            .read_at_once()
            .is_none_or(|keys| keys.is_ok_and(|keys| keys.iter().all(|key| key.id() != id)))
        {
            return Ok(Some(false));
        }
        let comment = format!("# {id}");
        self.rewrite(path, |text| {
            let stays = |line: &&str| {
                *line != comment && MasterKey::of_line(line).is_none_or(|key| key.id() != id)
            };
            let mut kept = String::with_capacity(text.len());
            for line in text.lines().filter(stays) {
                kept.push_str(line);
                kept.push('\n');
            }
            kept
        })?;
        Ok(Some(true))
    }

    /// Puts what `change` makes of the file in its place, all of it or nothing, for its owner alone.
    fn rewrite(&self, path: &Path, change: impl FnOnce(&str) -> String) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| self.unwritable(&error);
        // Behind a link is the file that counts.
        let path = std::fs::canonicalize(path).map_err(failed)?;
        let mut name = path.clone().into_os_string();
        name.push(".new");
        let beside = PathBuf::from(name);
        let mut file = make(&beside).map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                self.unusable(format!(
                    "is being changed by another command, or one was cut short; if none is at work, remove {}",
                    beside.display()
                ))
            } else {
                failed(error)
            }
        })?;
        let done = replace(&path, &beside, &mut file, change);
        if done.is_err() {
            // What stays is told of by the next attempt.
            let _removed = std::fs::remove_file(&beside);
        }
        done.map_err(|unwritten| match unwritten {
            Unwritten::System(error) => failed(error),
            Unwritten::Text(problem) => self.unusable(format!(
                "stays as it is, for nothing would read it once it {problem}"
            )),
        })
    }

    /// What the command prints.
    async fn ask(&self, words: &[String]) -> Result<Zeroizing<String>, StoreError> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| self.unusable("is empty".to_owned()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                self.unusable(format!(
                    "cannot be started: {error}; name a program by its path that the gateway's user may run"
                ))
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let answer = async {
            let (printed, said) = tokio::join!(all_of(stdout), all_of(stderr));
            // It is not to wait for a reader that has read enough.
            if over(&printed) {
                return Err("prints more than keys".to_owned());
            }
            let status = child.wait().await;
            let status = status.map_err(|error| format!("cannot be waited for: {error}"))?;
            finished(status, &said)?;
            Ok(printed)
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let late = format!("did not end within {} seconds", PATIENCE.as_secs());
        let printed = answer
            .unwrap_or(Err(late))
            .map_err(|problem| self.unusable(problem))?;
        std::str::from_utf8(&printed)
            .map(|text| Zeroizing::new(text.to_owned()))
            .map_err(|_| self.unusable("prints what is no text".to_owned()))
    }

    fn unreadable(&self, error: &std::io::Error) -> StoreError {
        let mend = match error.kind() {
            ErrorKind::PermissionDenied => {
                "run this as the user that the gateway runs as, or let that user read the file"
            }
            _ => "put the file of keys there, or name it in `store.master_key_file`",
        };
        self.unusable(format!("cannot be read: {error}; {mend}"))
    }

    fn unwritable(&self, error: &std::io::Error) -> StoreError {
        let mend = match error.kind() {
            // As a secret that Kubernetes mounts.
            ErrorKind::ReadOnlyFilesystem => {
                "change it where it comes from, such as the Secret that is mounted; the line of a new key is one of `openssl rand -base64 32`, and `rolegate keys rotate` has it take over once every gateway has the file"
            }
            _ => {
                "let the user of this command write the file and its folder, or run it as the file's owner or root"
            }
        };
        self.unusable(format!("cannot be written: {error}; {mend}"))
    }

    fn unusable(&self, problem: String) -> StoreError {
        StoreError::MasterKeyUnusable {
            from: if let Self::File(_) = self {
                format!("the master key file {self}")
            } else {
                format!("`store.master_key_command`: {self}")
            },
            problem,
        }
    }
}

/// Whether a program ended well; else what it said first.
fn finished(status: ExitStatus, said: &[u8]) -> Result<(), String> {
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(said);
    let first: String = said
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    Err(if first.is_empty() {
        format!("failed ({status})")
    } else {
        format!("failed ({status}): {first}")
    })
}

/// What a program writes, as far as it counts.
async fn all_of(stream: Option<impl AsyncRead + Unpin>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    if let Some(stream) = stream {
        // A stream that breaks ends there; what came is judged.
        let _read = stream.take(MOST_BYTES + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

fn over(bytes: &[u8]) -> bool {
    u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES)
}

fn read_file(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)?;
    if over(text.as_bytes()) {
        return Err(std::io::Error::other("it is longer than a file of keys"));
    }
    Ok(text)
}

fn make(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Writes a file that must not exist yet, and waits until it is on disk: a database sealed with a key
/// that a power cut took away would be lost. It appears whole or not at all, so that a process that is killed on the
/// way leaves no half of a key that would keep the next from starting.
fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    // Mode 0600, under a name of its own; gone once it is dropped.
    let mut file = tempfile::Builder::new()
        .prefix(".rolegate-key-")
        .tempfile_in(folder_of(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(path)
}

/// Why a file was not changed.
enum Unwritten {
    System(std::io::Error),
    /// What would be wrong with it.
    Text(String),
}

impl From<std::io::Error> for Unwritten {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

fn replace(
    path: &Path,
    beside: &Path,
    file: &mut File,
    change: impl FnOnce(&str) -> String,
) -> Result<(), Unwritten> {
    let owner = std::fs::metadata(path)?;
    let about = file.metadata()?;
    if (about.uid(), about.gid()) != (owner.uid(), owner.gid()) {
        fchown(&*file, Some(owner.uid()), Some(owner.gid()))?;
    }
    // Root's own file may be for the group of the gateway's user to read, and stays so.
    let group = if owner.uid() == 0 {
        owner.mode() & 0o040
    } else {
        0
    };
    file.set_permissions(Permissions::from_mode(0o600 | group))?;
    let text = Zeroizing::new(change(&read_file(path)?));
    parse(&text).map_err(Unwritten::Text)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    Ok(sync_folder(path)?)
}

/// Waits until the name of the file at `path` is on disk, which is its folder's to keep.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    let named = folder.filter(|folder| !folder.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
