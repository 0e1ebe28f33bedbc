'use strict';
// A Node worker, or a child, that does what its master says in messages; what it does not
// know it says again.
const cluster = require('cluster');
const dgram = require('dgram');
const fs = require('fs');
const net = require('net');
const readline = require('readline');
const handles = require('./handles');
const values = require('./values');

const id = cluster.worker?.id ?? 0;
let passed = 0;

// Answers each line with it, and its own number before.
const answer = (socket) => {
    socket.on('error', () => {});
    readline.createInterface({ input: socket })
        .on('line', (line) => socket.write(`${id} ${line}\n`));
};

const commands = {
    listen: ({ options, most }) => {
        const server = net.createServer(answer);
        if (most) server.maxConnections = most;
        server.on('error', ({ code, syscall }) => process.send({ failed: code, syscall }));
        server.listen(options, () => process.send({ listening: server.address() }));
    },
    bind: ({ port }) => {
        const socket = dgram.createSocket('udp4');
        socket.on('message', (text, from) => socket.send(`${id} ${text}`, from.port, from.address));
        socket.on('error', ({ code, syscall }) => process.send({ failed: code, syscall }));
        socket.bind(port, '127.0.0.1', () => process.send({ listening: socket.address() }));
    },
    leave: () => cluster.worker.disconnect(),
    disconnect: () => process.disconnect(),
    crash: () => { throw new Error('as told'); },
    rubbish: () => fs.writeSync(3, 'rubbish\n'),
    give: ({ kind }) => handles.give(process, kind, (said) => process.send({ kind, said })),
    take: ({ kind }, handle) => handles.take(kind, handle),
    pass: ({ count }) => handles.pass(process, count),
    value: ({ name }) => process.send({ name, value: values.make(name) }),
    check: ({ name, value }) => process.send({ name, same: values.is(name, value) }),
    cycle: () => {
        const server = net.createServer().listen({ port: 0, exclusive: true }, () => {
            process.send(values.cycle());
            process.send(values.cycle(), server, () => server.close());
            process.send({ after: 'cycles' });
        });
    },
    bytes: ({ lengths }) => {
        lengths.forEach((length, number) => process.send(Buffer.alloc(length, number)));
    },
    passed: ({ count }, handle) => {
        handle.close();
        if (++passed === count) process.send({ all: count });
    },
};

process.on('message', (message, handle) => {
    if (message instanceof Uint8Array) {
        process.send({ length: message.length, all: values.allOf(message) });
        return;
    }
    const command = commands[message?.do];
    if (command) command(message, handle); else process.send(message);
});
