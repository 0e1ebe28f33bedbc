//! Puts descriptors where a new process expects them, none overwritten before it was copied.

/// What becomes of one descriptor number of the child; the number is the place in the list.
pub(super) type Slot = Option<i32>;

/// The four things done to a descriptor table.
pub(super) trait Table {
    type Error;

    /// Copies `fd` to a free number of at least `floor`, close-on-exec.
    fn copy_above(&mut self, fd: i32, floor: i32) -> Result<i32, Self::Error>;
    /// Copies `fd` to `target`, which stays open across exec.
    fn copy_to(&mut self, fd: i32, target: i32) -> Result<(), Self::Error>;
    /// Lets `fd` stay open across exec.
    fn keep(&mut self, fd: i32) -> Result<(), Self::Error>;
    /// Closes `fd` if it is open.
    fn close(&mut self, fd: i32);
}

/// Gives descriptor `n` the source in `slots[n]`, or closes it where there is none.
///
/// Runs in the child between clone and exec: no allocation, no panic.
pub(super) fn arrange<T: Table>(slots: &mut [Slot], table: &mut T) -> Result<(), T::Error> {
    let end = i32::try_from(slots.len()).unwrap_or(i32::MAX);
    for (target, slot) in (0..end).zip(slots.iter_mut()) {
        // A source below `end` is itself a target: out of the way, unless it is in place.
        if let Some(source) = slot
            && *source < end
            && *source != target
        {
            *source = table.copy_above(*source, end)?;
        }
    }
    for (target, slot) in (0..end).zip(slots.iter()) {
        match *slot {
            Some(source) if source == target => table.keep(target)?,
            Some(source) => table.copy_to(source, target)?,
            None => table.close(target),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// number → (what is open there, close-on-exec)
    #[derive(Clone, Debug, Default)]
    struct Simulated(BTreeMap<i32, (i32, bool)>);

    impl Table for Simulated {
        type Error = String;

        fn copy_above(&mut self, fd: i32, floor: i32) -> Result<i32, String> {
            let (file, _) = *self.0.get(&fd).ok_or("copy of a closed descriptor")?;
            let free = (floor..).find(|fd| !self.0.contains_key(fd)).ok_or("full")?;
            self.0.insert(free, (file, true));
            Ok(free)
        }

        fn copy_to(&mut self, fd: i32, target: i32) -> Result<(), String> {
            if fd == target {
                return Err("dup2 to itself keeps close-on-exec".into());
            }
            let (file, _) = *self.0.get(&fd).ok_or("copy of a closed descriptor")?;
            self.0.insert(target, (file, false));
            Ok(())
        }

        fn keep(&mut self, fd: i32) -> Result<(), String> {
            self.0.get_mut(&fd).ok_or("keep of a closed descriptor")?.1 = false;
            Ok(())
        }

        fn close(&mut self, fd: i32) {
            self.0.remove(&fd);
        }
    }

    #[test]
    fn swapped_descriptors() {
        let mut table = Simulated((0..5).map(|fd| (fd, (fd + 100, true))).collect());
        let mut slots = [Some(0), Some(1), Some(2), Some(4), Some(3)];
        arrange(&mut slots, &mut table).expect("all are open");
        let after: Vec<i32> = (0..5).map(|fd| table.0[&fd].0).collect();
        assert_eq!(after, [100, 101, 102, 104, 103]);
    }

    #[test]
    fn closed_source_is_an_error() {
        let mut slots = [Some(9)];
        assert!(arrange(&mut slots, &mut Simulated::default()).is_err());
    }

    proptest! {
        #[test]
        fn every_target_gets_its_source(
            slots in proptest::collection::vec(proptest::option::of(0..24), 0..16),
        ) {
            let before = Simulated((0..24).map(|fd| (fd, (fd, true))).collect());
            let mut table = before.clone();
            let mut plan = slots.clone();
            arrange(&mut plan, &mut table).expect("all are open");

            for (target, slot) in (0..).zip(&slots) {
                let expected = slot.map(|source| (before.0[&source].0, false));
                prop_assert_eq!(table.0.get(&target).copied(), expected);
            }
            // Nothing else reaches the program.
            let end = i32::try_from(slots.len()).expect("short");
            prop_assert!(table.0.range(end..).all(|(_, (_, close_on_exec))| *close_on_exec));
        }
    }
}
