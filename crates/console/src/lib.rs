//! The metrics endpoints of a running stack.
