//! What users rely on, at the edge they touch: the real program, real peers, real faults.

mod agents;
mod backlog;
mod bad_input;
mod cameras;
mod clients;
mod devices;
mod disk_full;
mod doors;
mod external;
mod flight;
mod import;
mod kill;
mod page;
mod readers;
mod retention;
mod s3;
mod sumo;
mod tls;
