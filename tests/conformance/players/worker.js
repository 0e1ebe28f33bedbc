'use strict';
// A worker that does what it is told by messages; other messages it reports. `worker.rs` is its
// twin. What it reports goes to stdout, so that it is heard without a channel, too.
const cluster = require('cluster');
const dgram = require('dgram');
const fs = require('fs');
const net = require('net');
const readline = require('readline');
const stage = require('./stage');
const handles = require('../../node/handles');

const { worker } = cluster;
const open = new Map();
let reflects = false;
const report = (event, more) => stage.report({ report: event, worker: worker.id, ...more });

const where = (socket) => {
    const at = socket.address();
    return typeof at === 'string' ? { path: at } : { address: at.address, port: at.port };
};

// Answers each line with it, and the worker's number before.
const answer = (socket) => {
    report('connection', { peer: socket.remoteAddress ?? null });
    socket.on('error', () => {});
    readline.createInterface({ input: socket })
        .on('line', (line) => socket.write(`${worker.id} ${line}\n`));
};

const failed = (name) => ({ code, syscall }) => report('failed', { name, code, syscall });

stage.learn({
    listen: ({ name = 'a', options, most }) => {
        const server = open.get(name) ?? net.createServer(answer).on('error', failed(name));
        open.set(name, server);
        if (most !== undefined) server.maxConnections = most;
        server.listen(options, () => report('listening', { name, ...where(server) }));
    },
    bind: ({ name = 'a', type = 'udp4', ipv6Only, reuseAddr, options, close, unref }) => {
        const socket = dgram.createSocket({ type, ipv6Only, reuseAddr });
        open.set(name, socket);
        if (unref) socket.unref();
        let datagrams = 0;
        socket.on('error', failed(name));
        socket.on('message', (text, from) => {
            report('datagram', { name, number: ++datagrams });
            socket.send(`${worker.id} ${text}`, from.port, from.address);
        });
        socket.bind(options, () => report('listening', { name, ...where(socket) }));
        if (close) socket.close(() => report('closed', { name })); // before any answer
    },
    close: ({ name = 'a' }) => open.get(name).close(() => report('closed', { name })),
    datagram: ({ name = 'a', text, port }) => open.get(name).send(text, port, '127.0.0.1'),
    connect: ({ port }) => net.connect(port, '127.0.0.1')
        .on('connect', () => report('connected'))
        .on('close', () => report('client closed'))
        .resume(),
    // Listens on a handle of its own.
    own: ({ name = 'a' }) => {
        const { TCP, constants } = process.binding('tcp_wrap');
        const handle = new TCP(constants.SERVER);
        handle.bind('127.0.0.1', 0);
        const server = net.createServer(answer).listen(handle, () => {
            report('listening', { name, ...where(server) });
        });
    },
    // The process does not stay for its channel any more, nor for what is named.
    unref: ({ name }) => {
        process.channel.unref();
        open.get(name)?.unref();
        report('unref');
    },
    say: ({ message }) => report('said', { kept: worker.send(message) }),
    leave: () => worker.isConnected() && worker.disconnect(),
    destroy: () => worker.kill(),
    cut: () => process.disconnect(),
    exit: ({ code, later }) => later ? setImmediate(() => process.exit(code)) : process.exit(code),
    spin: () => {
        report('spinning');
        for (;;);
    },
    // In the next tick, where Node's own part of an event is over.
    next: ({ then }) => process.nextTick(() => then.forEach((command) => stage.run(command))),
    state: () => report('state', { connected: worker.isConnected(), dead: worker.isDead() }),
    // Says what it sees of its surroundings.
    look: ({ names = [] }) => worker.send({
        cwd: process.cwd(),
        args: process.argv.slice(2),
        env: Object.fromEntries(names.map((name) => [name, process.env[name] ?? null])),
    }),
    chdir: ({ to }) => process.chdir(to),
    echo: ({ number }) => {
        const pipe = new net.Socket({ fd: number });
        pipe.unref();
        pipe.on('data', (data) => pipe.write(data));
    },
    rubbish: () => fs.writeSync(3, 'rubbish\n'),
    throw: () => {
        process.once('uncaughtException', () => report('uncaught'));
        throw new Error('as told');
    },
    give: ({ kind }) => handles.give(worker, kind, (said) => report('heard', { kind, said })),
    take: ({ kind }, handle) => handles.take(kind, handle),
    adopt: (_, socket) => answer(socket),
    reflect: () => { reflects = true; },
    bounce: (message, handle) => worker.send(message, handle),
    // Sends the same socket twice.
    twice: () => {
        const server = net.createServer((socket) => {
            server.close();
            worker.send({ time: 1 }, socket);
            worker.send({ time: 2 }, socket);
        });
        server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
            net.connect(server.address().port, '127.0.0.1').on('error', () => {}).resume().end();
        });
    },
});

worker.on('message', (message, handle) => {
    if (reflects) worker.send(message);
    else if (message?.do) stage.run(message, handle); else report('message', { message });
});
worker.on('disconnect', () => {
    report('disconnect', { connected: worker.isConnected(), wanted: worker.exitedAfterDisconnect });
});

for (const command of JSON.parse(process.env.PLAY ?? '[]')) stage.run(command);
