//! The list of all attacks.

use crate::{additional, attack::Attack, crash, files, http, kernel, network, resources, user_limits};

/// All attacks, in the order of their rows.
pub fn attacks() -> Vec<Attack> {
    let mut all: Vec<Attack> = [
        files::attacks(),
        network::attacks(),
        kernel::attacks(),
        resources::attacks(),
        http::attacks(),
        crash::attacks(),
        additional::attacks(),
        user_limits::attacks(),
    ]
    .into_iter()
    .flatten()
    .collect();
    all.sort_by_key(|attack| attack.row);
    all
}
