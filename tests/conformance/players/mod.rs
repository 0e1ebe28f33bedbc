//! The master and the workers of the conformance scenarios, which do what they are told. Each
//! has a twin in Node beside it.

pub(crate) mod child;
pub(crate) mod primary;
mod stage;
pub(crate) mod worker;
