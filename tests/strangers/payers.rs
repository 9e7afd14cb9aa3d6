//! Each payer has its share of sessions, places in queues, connections and disk space.
