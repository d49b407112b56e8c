//! Decides: a subject and the allow-list become grants, or denials with their reasons.
