//! The catalogue that holds now. A reload replaces it as a whole.

use std::sync::Arc;

use tokio::sync::watch;

use crate::catalogue::Catalogue;

/// The catalogue that holds now. Clones share it.
#[derive(Clone, Debug)]
pub struct CurrentCatalogue(Arc<watch::Sender<Arc<Catalogue>>>);

impl CurrentCatalogue {
    /// Begins with `catalogue`.
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        Self(Arc::new(watch::Sender::new(catalogue)))
    }

    /// The catalogue of this moment. A request uses one catalogue from its beginning to its end.
    pub fn now(&self) -> Arc<Catalogue> {
        self.0.borrow().clone()
    }

    /// Replaces the catalogue.
    pub fn replace(&self, catalogue: Arc<Catalogue>) {
        self.0.send_replace(catalogue);
    }

    /// Tells when the catalogue was replaced.
    pub fn changes(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.0.subscribe()
    }
}
