//! The subcommands.

pub mod backup;
pub mod codec;
pub mod deletions;
pub mod demo;
pub mod doctor;
pub mod import;
pub mod quarantine;
pub mod replay;
pub mod serve;
pub mod sql;
pub mod sumo;
pub mod twin;
pub mod user;
