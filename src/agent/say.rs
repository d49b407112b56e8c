//! What the person or the script sees: results on standard output, the rest on standard error.

use std::io::Write;

/// A result, as it stands; nobody may be left to read it.
pub(super) fn result(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// A note or an error.
pub(super) fn note(text: &str) {
    // A standard error that is closed is no reason to end a job.
    let _written = writeln!(std::io::stderr().lock(), "rolegate: {text}");
}
