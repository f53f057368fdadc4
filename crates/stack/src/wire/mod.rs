//! How calls travel. In virtual time a call is handed over as a value; in real time it is an HTTP/1.1
//! request over TCP. Either way the service behind the door is the same code.

pub mod memory;
pub mod tcp;
