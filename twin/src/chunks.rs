//! A growing list in shared chunks: cloning copies one pointer per chunk, writing copies only the chunk that is written to.

use std::sync::Arc;

/// Elements per chunk. Larger makes clones cheaper, smaller makes the first write after a snapshot cheaper.
pub(crate) const CHUNK: usize = 256;

/// Copy-on-write list; indices are dense and never change.
#[derive(Debug, Clone)]
pub(crate) struct Chunks<T>(Vec<Arc<Vec<T>>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    /// The element at an index that this list gave out.
    pub(crate) fn at(&self, i: u32) -> &T {
        &self.0[i as usize / CHUNK][i as usize % CHUNK]
    }

    pub(crate) fn at_mut(&mut self, i: u32) -> &mut T {
        &mut Arc::make_mut(&mut self.0[i as usize / CHUNK])[i as usize % CHUNK]
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(value),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.0.push(Arc::new(chunk));
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|c| c.iter())
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[T]> {
        self.0.iter().map(|c| c.as_slice())
    }
}
