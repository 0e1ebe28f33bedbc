'use strict';
// The talk with the test: commands come on stdin, events go out on stdout, a line of JSON each.
const readline = require('readline');

exports.report = (event, fields) => console.log(JSON.stringify({ event, ...fields }));

exports.obey = (commands) => {
    const input = readline.createInterface({ input: process.stdin });
    input.on('line', (line) => {
        const command = JSON.parse(line);
        commands[command.do](command);
    });
    input.on('close', () => process.exit(3)); // the test has ended
};
