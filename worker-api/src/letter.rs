//! A message that has come and that nobody has read yet.

use std::{mem, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Error, Handle, Message, Result,
    ledger::{Entry, Holder},
    structured,
};

/// What it says. A text is read but once, by who knows what it is to be.
#[derive(Debug)]
pub(crate) enum Content {
    Unread(Box<str>),
    Json(Value),
    Structured(Box<structured::Value>),
}

/// A message and the socket that came with it.
#[derive(Debug)]
pub struct Letter {
    content: Content,
    pub(crate) handle: Option<Handle>,
    /// Under which its sender counts the socket.
    pub(crate) key: Option<String>,
}

/// How a content is read.
pub(crate) type Read<T> = fn(&mut Content) -> serde_json::Result<T>;

impl Content {
    /// As any JSON; a structured value as far as JSON can say it.
    pub(crate) fn value(&mut self) -> serde_json::Result<Value> {
        match self {
            Self::Unread(text) => serde_json::from_str(text),
            Self::Json(value) => Ok(mem::take(value)),
            Self::Structured(value) => Ok(value.to_json()),
        }
    }

    /// In a type of one's own.
    pub(crate) fn parse<T: DeserializeOwned>(&mut self) -> serde_json::Result<T> {
        match self {
            Self::Unread(text) => serde_json::from_str(text),
            Self::Json(value) => T::deserialize(mem::take(value)),
            Self::Structured(value) => T::deserialize(value.to_json()),
        }
    }
}

impl Letter {
    /// Reads it, for those who build a master.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if it is no JSON.
    pub fn read(mut self) -> Result<Message> {
        let value = self.content.value().map_err(unreadable)?;
        Ok(self.message(value))
    }

    /// Reads it and enters its socket in the books of who received it.
    pub(crate) fn open<T, H>(
        mut self,
        read: Read<T>,
        holder: &Arc<H>,
    ) -> serde_json::Result<Message<T>>
    where
        H: Holder + 'static,
    {
        let entry = self.key.take().map(|key| Entry::new(key, holder));
        let value = read(&mut self.content)?;
        Ok(Message { entry, ..self.message(value) })
    }

    fn message<T>(self, value: T) -> Message<T> {
        let structured = match self.content {
            Content::Structured(value) => Some(value),
            Content::Unread(_) | Content::Json(_) => None,
        };
        Message { value, handle: self.handle, structured, entry: None }
    }
}

pub(crate) fn unreadable(source: serde_json::Error) -> Error {
    Error::Decode { source: source.into() }
}

impl From<Content> for Letter {
    fn from(content: Content) -> Self {
        Self { content, handle: None, key: None }
    }
}

impl From<Box<str>> for Letter {
    fn from(text: Box<str>) -> Self {
        Content::Unread(text).into()
    }
}

impl From<Value> for Letter {
    fn from(value: Value) -> Self {
        Content::Json(value).into()
    }
}

impl From<structured::Value> for Letter {
    fn from(value: structured::Value) -> Self {
        Content::Structured(value.into()).into()
    }
}
