//! A demo IdP and a strict sandbox STS, on loopback only.
