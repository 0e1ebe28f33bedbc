//! Letters become messages.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Endpoint, Router};
use crate::{
    Message, Result,
    ledger::Holder,
    letter::{Content, Letter, Read, unreadable},
};

impl<R: Router> Endpoint<R> {
    /// Reads a letter and enters its socket in the holder's books. What is no JSON ends the
    /// channel.
    pub(crate) fn open<T, H: Holder + 'static>(
        &self,
        letter: Option<Letter>,
        read: Read<T>,
        holder: &Arc<H>,
    ) -> Result<Option<Message<T>>> {
        let Some(letter) = letter else { return Ok(None) };
        letter.open(read, holder).map(Some).map_err(|error| {
            if !error.is_data() {
                log::warn!("the channel is given up: {error}");
                self.lock().give_up();
            }
            unreadable(error)
        })
    }

    /// Waits for messages and takes those that came with the first; how many.
    pub(crate) fn receive_many<T: DeserializeOwned, H: Holder + 'static>(
        &self,
        buffer: &mut Vec<Message<T>>,
        limit: usize,
        holder: &Arc<H>,
    ) -> Result<usize> {
        if limit == 0 {
            return Ok(0);
        }
        let before = buffer.len();
        let mut letter = self.receive(None)?;
        while let Some(message) = self.open(letter, Content::parse, holder)? {
            buffer.push(message);
            if buffer.len() - before == limit {
                break;
            }
            letter = self.lock().take_one().transpose()?;
        }
        Ok(buffer.len() - before)
    }
}
