//! Times at, before and after each boundary (COND-09, COND-10).

use super::*;

impl Maker {
    pub(super) fn times(&mut self) {
        const ISSUED: &str = "IssueInstant=\"2026-01-15T11:59:30Z\"";
        const FROM: &str = "NotBefore=\"2026-01-15T11:58:30Z\"";
        const TO: &str = "NotOnOrAfter=\"2026-01-15T12:06:00Z\"";
        const UNTIL: &str = "NotOnOrAfter=\"2026-01-15T12:05:00Z\"";
        const SESSION: &str = "SessionNotOnOrAfter=\"2026-01-15T20:00:00Z\"";
        // The clock shows 12:00:00, and clocks may differ by 60 s.
        for (name, id, from, time, expect) in [
            (
                "issued-5-minutes-ago",
                "COND-10",
                ISSUED,
                "2026-01-15T11:55:00Z",
                "accepted",
            ),
            (
                "issued-longer-ago",
                "COND-10",
                ISSUED,
                "2026-01-15T11:54:59.999Z",
                "issue_instant",
            ),
            (
                "issued-ahead",
                "COND-10",
                ISSUED,
                "2026-01-15T12:01:00Z",
                "accepted",
            ),
            (
                "issued-further-ahead",
                "COND-10",
                ISSUED,
                "2026-01-15T12:01:00.001Z",
                "issue_instant",
            ),
            (
                "from-ahead",
                "COND-09",
                FROM,
                "2026-01-15T12:01:00Z",
                "accepted",
            ),
            (
                "from-further-ahead",
                "COND-09",
                FROM,
                "2026-01-15T12:01:00.001Z",
                "not_yet_valid",
            ),
            (
                "to-just-past",
                "COND-09",
                TO,
                "2026-01-15T11:59:00.001Z",
                "accepted",
            ),
            ("to-past", "COND-09", TO, "2026-01-15T11:59:00Z", "expired"),
            (
                "to-before-from",
                "COND-09",
                TO,
                "2026-01-15T11:58:30Z",
                "times_order",
            ),
            (
                "to-70-minutes",
                "COND-09",
                TO,
                "2026-01-15T13:10:00Z",
                "accepted",
            ),
            (
                "until-just-past",
                "COND-09",
                UNTIL,
                "2026-01-15T11:59:00.001Z",
                "accepted",
            ),
            (
                "until-past",
                "COND-09",
                UNTIL,
                "2026-01-15T11:59:00Z",
                "expired",
            ),
            (
                "session-just-left",
                "COND-09",
                SESSION,
                "2026-01-15T12:00:00.001Z",
                "accepted",
            ),
            (
                "session-over",
                "COND-09",
                SESSION,
                "2026-01-15T12:00:00Z",
                "expired",
            ),
            (
                "time-with-zone",
                "COND-09",
                TO,
                "2026-01-15T12:06:00+00:00",
                "bad_time",
            ),
            (
                "time-without-zone",
                "COND-09",
                UNTIL,
                "2026-01-15T12:05:00",
                "bad_time",
            ),
            (
                "time-lower-case",
                "COND-09",
                FROM,
                "2026-01-15t11:58:30z",
                "bad_time",
            ),
            (
                "time-of-year-10000",
                "COND-09",
                TO,
                "10000-01-15T12:06:00Z",
                "bad_time",
            ),
            ("time-empty", "COND-09", SESSION, "", "bad_time"),
            (
                "time-issued-odd",
                "COND-10",
                ISSUED,
                "1768478400",
                "bad_time",
            ),
        ] {
            let attribute = from.split('=').next().unwrap();
            let document = self.changed(from, &format!("{attribute}=\"{time}\""));
            self.show(&format!("cond-{name}"), id, expect, document);
        }
        let outside = self.mutated(ISSUED, "IssueInstant=\"2026-01-15T11:50:00Z\"");
        self.show(
            "cond-10-response-issued-long-ago",
            "COND-10",
            "issue_instant",
            outside,
        );
    }
}
