//! The children that this crate has started and not yet reaped, by number.
//!
//! A number is in the set from its birth until its end was taken: so whoever reaps strangers
//! never takes the end of one of ours.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

static OWN: Mutex<Option<HashSet<u32>>> = Mutex::new(None);
static BIRTHS: RwLock<()> = RwLock::new(());

/// Held while a child is born, until it is [added](add).
pub(crate) fn birth() -> RwLockReadGuard<'static, ()> {
    BIRTHS.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn add(pid: u32) {
    lock().get_or_insert_default().insert(pid);
}

/// Whether this is one of ours.
pub(crate) fn has(pid: u32) -> bool {
    lock().as_ref().is_some_and(|own| own.contains(&pid))
}

/// Takes the end of one of ours, which after that is nobody's if `take` says so.
pub(crate) fn end<T>(pid: u32, take: impl FnOnce() -> T, is_over: impl FnOnce(&T) -> bool) -> T {
    let mut own = lock();
    let taken = take();
    if is_over(&taken)
        && let Some(own) = &mut *own
    {
        own.remove(&pid);
    }
    taken
}

/// Runs something that none of ours is born or ends meanwhile; `None`: one is being born now.
pub(crate) fn among_strangers<T>(act: impl FnOnce(&dyn Fn(u32) -> bool) -> T) -> Option<T> {
    let _no_births = BIRTHS.try_write().ok()?;
    let own = lock();
    Some(act(&|pid| own.as_ref().is_some_and(|own| own.contains(&pid))))
}

fn lock() -> MutexGuard<'static, Option<HashSet<u32>>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}
