'use strict';
// What the players share: they report what happens as lines of JSON on stdout, and react to it
// as they were told before. `stage.rs` is the same in Rust.
const fs = require('fs');

const reactions = [];
const commands = { when: ({ like, then }) => reactions.push({ like, then }) };

// Whether a value has all that another one has, deep inside, too.
const has = (value, like) => {
    if (like === null || typeof like !== 'object') return value === like;
    if (value === null || typeof value !== 'object') return false;
    return Object.keys(like).every((name) => has(value[name], like[name]));
};

exports.learn = (more) => Object.assign(commands, more);

exports.run = (command, ...rest) => commands[command.do](command, ...rest);

// Each reaction is for one time. In its commands the worker "it" is the event's.
exports.report = (event) => {
    fs.writeSync(1, `${JSON.stringify(event)}\n`);
    const now = reactions.filter(({ like }) => has(event, like));
    for (const reaction of now) reactions.splice(reactions.indexOf(reaction), 1);
    for (const command of now.flatMap(({ then }) => then)) {
        exports.run(command.worker === 'it' ? { ...command, worker: event.worker } : command);
    }
};
