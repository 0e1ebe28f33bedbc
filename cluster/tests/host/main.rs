//! What the machine around gives, each in a namespace of its own, where it can be made up.

mod namespace;
mod parallelism;
mod strangers;
