//! Judging claims.
