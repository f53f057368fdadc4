//! Services, queues, the database model, the wire, and their assembly.
