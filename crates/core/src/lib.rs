//! The vocabulary of the rig: calls, replies, errors, live settings, keyed draws, time, and the catalogue of metrics.
