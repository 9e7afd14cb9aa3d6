use super::Bench;
use crate::table::Row;
use anyhow::Result;
pub const MANY_NAMES: [&str; 0] = [];
pub const WATCHED_NAMES: [&str; 0] = [];
pub fn measure_many(_: &Bench) -> Result<Vec<Row>> {
    Ok(vec![])
}
pub fn measure_watched(_: &Bench) -> Result<Vec<Row>> {
    Ok(vec![])
}
