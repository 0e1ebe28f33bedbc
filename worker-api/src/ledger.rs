//! Sockets that came with a key of their sender's, who may ask how many are still open.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
};

use crate::wire::Sockets;

/// The sockets that are open, by key. Empty lists are not kept, so that it is bounded by this
/// process's descriptors, whatever it is asked.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lists: HashMap<String, List>,
}

#[derive(Debug, Default)]
struct List {
    open: u64,
    /// Somebody wants to hear when it is empty.
    is_awaited: bool,
}

impl Ledger {
    pub(crate) fn opened(&mut self, key: &str) {
        self.lists.entry(key.to_owned()).or_default().open += 1;
    }

    /// What the sender has to hear now.
    pub(crate) fn closed(&mut self, key: &str) -> Option<Sockets> {
        let list = self.lists.get_mut(key)?;
        list.open -= 1;
        if list.open > 0 {
            return None;
        }
        let is_awaited = list.is_awaited;
        self.lists.remove(key);
        is_awaited.then(|| Sockets::AllClosed(key.to_owned()))
    }

    /// The answer to a question, if it is one and there is one now.
    pub(crate) fn answer(&mut self, question: &Sockets) -> Option<Sockets> {
        match question {
            Sockets::GetCount(key) => {
                let open = self.lists.get(key).map_or(0, |list| list.open);
                Some(Sockets::Count(key.clone(), open))
            }
            Sockets::NotifyClose(key) => match self.lists.get_mut(key) {
                Some(list) => {
                    list.is_awaited = true;
                    None
                }
                None => Some(Sockets::AllClosed(key.clone())),
            },
            Sockets::AllClosed(_) | Sockets::Count(..) => None,
        }
    }
}

/// Whose ledger a socket is in.
pub(crate) trait Holder: Send + Sync {
    /// One socket of this key is closed.
    fn socket_closed(&self, key: &str);
}

/// One socket in a ledger, until this is dropped.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) holder: Weak<dyn Holder>,
}

impl Entry {
    pub(crate) fn new<H: Holder + 'static>(key: String, holder: &Arc<H>) -> Self {
        let holder: Weak<H> = Arc::downgrade(holder);
        Self { key, holder }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.upgrade() {
            holder.socket_closed(&self.key);
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        "4:127.0.0.1:0".to_owned()
    }

    #[test]
    fn who_waits_hears_of_the_last_one() {
        let mut ledger = Ledger::default();
        let count = |ledger: &mut Ledger| match ledger.answer(&Sockets::GetCount(key())) {
            Some(Sockets::Count(_, count)) => count,
            other => panic!("{other:?}"),
        };
        let all_closed = Sockets::AllClosed(key());
        assert_eq!(ledger.answer(&Sockets::NotifyClose(key())), Some(all_closed.clone()));
        ledger.opened(&key());
        ledger.opened(&key());
        assert_eq!(count(&mut ledger), 2);
        assert_eq!(ledger.answer(&Sockets::NotifyClose(key())), None);
        assert_eq!(ledger.closed(&key()), None);
        assert_eq!(ledger.closed(&key()), Some(all_closed.clone()));
        assert_eq!((count(&mut ledger), ledger.lists.len()), (0, 0));
        ledger.opened(&key());
        assert_eq!(ledger.closed(&key()), None, "nobody waits any more");
        assert_eq!(ledger.answer(&all_closed), None);
    }
}
