//! Queues that are served in turn: one item of each queue, then the next item of each.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Items in an order.
pub(super) trait Queue: Default {
    type Item;
    fn len(&self) -> usize;
    fn pop(&mut self) -> Option<Self::Item>;
    /// The item that [`Self::pop`] would take.
    fn next(&self) -> Option<&Self::Item>;
}

impl<T> Queue for VecDeque<T> {
    type Item = T;

    fn len(&self) -> usize {
        self.len()
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn next(&self) -> Option<&T> {
        self.front()
    }
}

/// One queue for each key. Queues that become empty are removed.
pub(super) struct Turns<K, Q> {
    /// The keys, in the order of their turns.
    order: VecDeque<K>,
    queues: HashMap<K, Q>,
    /// The number of items in all queues.
    len: usize,
}

impl<K, Q> Default for Turns<K, Q> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queues: HashMap::new(), len: 0 }
    }
}

impl<K: Clone + Eq + Hash, Q: Queue> Queue for Turns<K, Q> {
    type Item = Q::Item;

    fn len(&self) -> usize {
        self.len
    }

    fn pop(&mut self) -> Option<Q::Item> {
        self.pop_where(|_, _| true)
    }

    fn next(&self) -> Option<&Q::Item> {
        self.queues.get(self.order.front()?)?.next()
    }
}

impl<K: Clone + Eq + Hash, Q: Queue> Turns<K, Q> {
    /// Adds one item to the queue of `key`, by `push`. The turn of a new key comes last.
    pub fn push(&mut self, key: &K, push: impl FnOnce(&mut Q)) {
        if !self.queues.contains_key(key) {
            self.order.push_back(key.clone());
        }
        push(self.queues.entry(key.clone()).or_default());
        self.len += 1;
    }

    /// Takes the next item of the first key that `may` have its turn with its queue.
    pub fn pop_where(&mut self, may: impl Fn(&K, &Q) -> bool) -> Option<Q::Item> {
        let may_key = |key: &K| self.queues.get(key).is_some_and(|queue| may(key, queue));
        let at = self.order.iter().position(may_key)?;
        let key = self.order.remove(at)?;
        let queue = self.queues.get_mut(&key)?;
        let item = queue.pop();
        if queue.len() == 0 {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Removes one item from the queue of `key`, by `remove`, out of turn.
    pub fn remove<T>(&mut self, key: &K, remove: impl FnOnce(&mut Q) -> Option<T>) -> Option<T> {
        let queue = self.queues.get_mut(key)?;
        let removed = remove(queue)?;
        self.len -= 1;
        if queue.len() == 0 {
            self.queues.remove(key);
            self.order.retain(|other| other != key);
        }
        Some(removed)
    }

    pub fn get(&self, key: &K) -> Option<&Q> {
        self.queues.get(key)
    }

    /// How many items of all queues are served before item `index` (from 0) of the queue of `key`,
    /// if each key has its turn.
    pub fn count_before(&self, key: &K, index: usize) -> usize {
        let mut has_later_turn = false;
        let mut count = index;
        for other in &self.order {
            if other == key {
                has_later_turn = true;
            } else if let Some(queue) = self.queues.get(other) {
                count += queue.len().min(index + usize::from(!has_later_turn));
            }
        }
        count
    }
}
