//! The binary: arguments, printing, exit codes.
fn main() {}
