//! Arrival plans, which are pure, and the drivers that carry them out.
