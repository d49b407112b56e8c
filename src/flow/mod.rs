//! The journeys, one file each; the only place that sees several rooms.
