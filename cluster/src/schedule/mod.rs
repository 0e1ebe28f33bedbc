//! Who gets the next connection.

mod turns;

pub(crate) use turns::Turns;
