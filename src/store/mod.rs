//! One store over SQLite: ledger, sessions, leases, sealed credentials, entries, tokens, audit.
