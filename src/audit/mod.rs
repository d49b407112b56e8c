//! Events, their hash chain, and its proof.
