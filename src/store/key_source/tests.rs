//! A key file that is made, added to and taken from; a command that prints keys, and those that do not.

use super::*;

fn ids(keys: &[MasterKey]) -> Vec<MasterKeyId> {
    keys.iter().map(MasterKey::id).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn shell(script: &str) -> KeySource {
    KeySource::Command(["sh", "-c", script].map(str::to_owned).to_vec())
}

#[tokio::test]
async fn a_key_is_made_once_with_mode_0600_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.key");
    let source = KeySource::File(path.clone());
    let made = source.read_or_create(false).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    let read = source.read_or_create(true).await.unwrap();
    assert_eq!(ids(&made), ids(&read));
}

#[tokio::test]
async fn no_key_is_made_beside_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.key");
    let source = KeySource::File(path.clone());
    let refused = source.read_or_create(true).await.unwrap_err();
    assert!(matches!(refused, StoreError::MasterKeyMissing { .. }));
    assert!(refused.to_string().contains("rolegate.key"));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_key_is_added_and_taken_out_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.key");
    let source = KeySource::File(path.clone());
    let first = MasterKey::new([1; 32]);
    std::fs::write(&path, format!("# ours\n{}", *first.line())).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let before = source.stamp();
    let added = source.add_key().unwrap().unwrap();
    assert_eq!(ids(&source.read().await.unwrap()), [first.id(), added]);
    assert_ne!(source.stamp(), before);
    // Root's own file may be for a group to read.
    let is_roots = std::fs::metadata(&path).unwrap().uid() == 0;
    assert_eq!(mode(&path), if is_roots { 0o640 } else { 0o600 });
    std::fs::set_permissions(&path, Permissions::from_mode(0o606)).unwrap();
    assert_eq!(source.remove_key(first.id()), Ok(Some(true)));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(source.remove_key(first.id()), Ok(Some(false)));
    assert_eq!(ids(&source.read().await.unwrap()), [added]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&format!("# ours\n# {added}\n")), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_change_that_was_cut_short_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.key");
    let source = KeySource::File(path.clone());
    let made = source.read_or_create(false).await.unwrap();
    let beside = folder.path().join("rolegate.key.new");
    std::fs::write(&beside, "").unwrap();
    let refused = source.add_key().unwrap_err().to_string();
    assert!(refused.contains("rolegate.key.new"), "{refused}");
    assert_eq!(ids(&source.read().await.unwrap()), ids(&made));
    std::fs::remove_file(&beside).unwrap();
    assert!(source.add_key().unwrap().is_some());
}

#[tokio::test]
async fn a_command_prints_keys() {
    let key = MasterKey::new([1; 32]);
    let line = key.line();
    let printed = shell(&format!("echo '# one'; echo {}", *line)).read().await;
    assert_eq!(ids(&printed.unwrap()), [key.id()]);
    assert_eq!(shell("true").stamp(), None);
    assert_eq!(shell("true").add_key(), Ok(None));
}

#[tokio::test]
async fn what_a_command_fails_of_is_told_without_what_it_printed() {
    let key = MasterKey::new([1; 32]);
    let line = key.line();
    for (script, told) in [
        (
            format!(
                "echo {}; echo sealed vault >&2; echo later >&2; exit 3",
                *line
            ),
            "sealed vault",
        ),
        ("exit 4".to_owned(), "4"),
        ("echo nonsense".to_owned(), "32 bytes in base64"),
        ("true".to_owned(), "32 bytes in base64"),
        (
            format!("while echo {}; do :; done", *line),
            "more than keys",
        ),
    ] {
        let refused = shell(&script).read().await.unwrap_err().to_string();
        assert!(refused.contains(told), "{script}: {refused}");
        assert!(refused.contains("store.master_key_command"), "{refused}");
        assert!(!refused.contains(line.as_str()) && !refused.contains("nonsense"));
        assert!(!refused.contains("later"), "{refused}");
    }
    let none = KeySource::Command(vec!["/nowhere/keys".to_owned()]);
    let refused = none.read().await.unwrap_err().to_string();
    assert!(refused.contains("/nowhere/keys"), "{refused}");
}

#[tokio::test]
async fn a_file_is_never_made_one_that_nothing_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.key");
    let source = KeySource::File(path.clone());
    let keys: Vec<MasterKey> = (0..31).map(|byte| MasterKey::new([byte; 32])).collect();
    let lines: Vec<String> = keys.iter().map(|key| key.line().to_string()).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    source.add_key().unwrap();
    let full = std::fs::read_to_string(&path).unwrap();

    let refused = source.add_key().unwrap_err().to_string();
    assert!(refused.contains("33 keys"), "{refused}");
    assert!(refused.contains("keys retire"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), full);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(source.remove_key(keys[0].id()), Ok(Some(true)));
    source.add_key().unwrap();
    assert_eq!(source.read().await.unwrap().len(), 32);
}

#[tokio::test]
async fn what_to_do_depends_on_what_is_wrong_with_the_file() {
    let source = KeySource::File("/nowhere/rolegate.key".into());
    let missing = source.read().await.unwrap_err().to_string();
    assert!(missing.contains("store.master_key_file"), "{missing}");
    for (kind, mend) in [
        (ErrorKind::PermissionDenied, "the gateway runs as"),
        (ErrorKind::NotFound, "store.master_key_file"),
    ] {
        let told = source.unreadable(&kind.into()).to_string();
        assert!(told.contains(mend), "{told}");
    }
    for (kind, mend) in [
        (ErrorKind::PermissionDenied, "owner or root"),
        (ErrorKind::ReadOnlyFilesystem, "openssl rand -base64 32"),
    ] {
        let told = source.unwritable(&kind.into()).to_string();
        assert!(told.contains(mend), "{told}");
    }
}
