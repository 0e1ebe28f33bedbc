//! What the players share: they report what happens as lines of JSON on stdout, and react to it
//! as they were told before. `stage.js` is the same in Node.

use std::{
    io::{self, Write},
    sync::Mutex,
};

use serde_json::Value;

/// What to do when something happens.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    reactions: Mutex<Vec<Reaction>>,
}

#[derive(Debug)]
struct Reaction {
    like: Value,
    then: Vec<Value>,
}

/// Whether a value has all that another one has, deep inside, too.
pub(crate) fn has(value: &Value, like: &Value) -> bool {
    match (value, like) {
        (Value::Object(value), Value::Object(like)) => {
            like.iter().all(|(name, like)| value.get(name).is_some_and(|value| has(value, like)))
        }
        _ => value == like,
    }
}

impl Stage {
    /// Notes a command `when`, which holds for one time.
    pub(crate) fn when(&self, command: &Value) {
        let then = command["then"].as_array().expect("a list of commands").clone();
        let reaction = Reaction { like: command["like"].clone(), then };
        self.reactions.lock().expect("no panic").push(reaction);
    }

    /// Prints what has happened; the commands that are to follow now. In them the worker "it" is
    /// the event's.
    pub(crate) fn report(&self, event: &Value) -> io::Result<Vec<Value>> {
        writeln!(io::stdout().lock(), "{event}")?;
        let mut reactions = self.reactions.lock().expect("no panic");
        let now = reactions.extract_if(.., |reaction| has(event, &reaction.like));
        let mut commands: Vec<_> = now.flat_map(|reaction| reaction.then).collect();
        for command in &mut commands {
            if command["worker"] == "it" {
                command["worker"] = event["worker"].clone();
            }
        }
        Ok(commands)
    }
}
