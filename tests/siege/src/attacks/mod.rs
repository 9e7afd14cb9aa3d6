//! The attacks, a file for each way in.

pub mod bodies;
pub mod connections;
pub mod creations;
pub mod lists;
pub mod nothing;
pub mod programs;
pub mod streams;

use anyhow::Result;
use serde_json::Value;

use crate::{attacker::Work, rows::Size, server::Server};

/// The preparation of an attack that needs none.
pub fn prepare_nothing(_: &mut Server, _: Size) -> Work<'_, Result<Value>> {
    Box::pin(async { Ok(Value::Null) })
}
