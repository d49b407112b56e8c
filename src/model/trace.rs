//! The mark of spans.

/// The target of every span that traces are made of. The log takes none of it, and without `[telemetry]` nobody does:
/// such a span is then not made at all. What stands in one leaves the machine, so no secret, assertion, token,
/// person or role may.
pub const TRACES: &str = "rolegate::traces";
