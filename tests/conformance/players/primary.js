'use strict';
// A primary that does what it is told by lines of JSON on stdin. Arguments: the workers'
// program and its arguments. `primary.rs` is its twin.
const cluster = require('cluster');
const net = require('net');
const readline = require('readline');
const { learn, report, run } = require('./stage');
const handles = require('../../node/handles');
const values = require('../../node/values');

const [execPath, exec, ...args] = process.argv.slice(2);
process.execPath = execPath;
cluster.setupPrimary({ exec, args, execArgv: [] });

const workers = new Map(); // also those that have gone
let awaited; // the name of a value that is to come back
const left = () => Object.keys(cluster.workers).map(Number);

const tell = (event, worker, more) => report({
    event,
    worker: worker.id,
    pid: worker.process.pid,
    state: worker.state,
    connected: worker.isConnected(),
    dead: worker.isDead(),
    wanted: worker.exitedAfterDisconnect === true,
    left: left(),
    ...more,
});

cluster.on('fork', (worker) => {
    workers.set(worker.id, worker);
    worker.on('error', ({ code, syscall }) => tell('error', worker, { code, syscall }));
    tell('fork', worker);
});
for (const event of ['online', 'disconnect']) cluster.on(event, (worker) => tell(event, worker));
cluster.on('listening', (worker, at) => tell('listening', worker, { at }));
cluster.on('exit', (worker, code, signal) => tell('exit', worker, { code, signal }));
cluster.on('message', (worker, message, handle) => {
    if (awaited) {
        tell('reflected', worker, { name: awaited, same: values.is(awaited, message) });
        awaited = undefined;
        return;
    }
    if (message?.do === 'take') handles.take(message.kind, handle);
    if (message?.do === 'bounce') handle.end('back\n');
    tell('message', worker, { message, type: handle?.constructor.name });
});
cluster.on('setup', ({ cwd, silent }) => report({ event: 'setup', cwd, silent }));

learn({
    fork: ({ count = 1, env }) => {
        for (; count > 0; count--) cluster.fork(env);
    },
    send: ({ worker, message }) => workers.get(worker).send(message),
    // Sends what only an advanced channel carries.
    value: ({ worker, name }) => {
        awaited = name;
        workers.get(worker).send(values.make(name));
    },
    leave: ({ worker }) => workers.get(worker).disconnect(),
    'leave all': () => cluster.disconnect(() => report({ event: 'gone', left: left() })),
    kill: ({ worker, signal }) => workers.get(worker).kill(signal),
    signal: ({ worker, signal }) => workers.get(worker).process.kill(signal),
    cut: ({ worker }) => workers.get(worker).process.disconnect(),
    setup: ({ settings }) => cluster.setupPrimary(settings),
    give: ({ worker, kind }) => handles.give(workers.get(worker), kind, (said) => {
        report({ event: 'heard', worker, kind, said });
    }),
    // Sends all that is connected to a new port to a worker, each with this message.
    lend: ({ worker, message }) => {
        const server = net.createServer({ pauseOnConnect: true }); // so nothing is read here
        server.on('connection', (socket) => workers.get(worker).send(message, socket));
        server.listen({ port: 0, host: '127.0.0.1' }, () => {
            report({ event: 'lending', port: server.address().port });
        });
    },
    // Opens a socket for workers that ask for it by its number.
    open: ({ type }) => {
        const { TCP, constants } = process.binding('tcp_wrap');
        const { UDP } = process.binding('udp_wrap');
        const socket = type === 'udp4' ? new UDP() : new TCP(constants.SERVER);
        const at = {};
        socket.bind('127.0.0.1', 0, 0);
        socket.getsockname(at);
        report({ event: 'opened', fd: socket.fd, port: at.port });
    },
    broadcast: ({ message }) => {
        for (const worker of workers.values()) if (worker.isConnected()) worker.send(message);
    },
    // Writes to a worker's pipe, and reports what comes back.
    pipe: ({ worker, number, text }) => {
        const pipe = workers.get(worker).process.stdio[number];
        pipe.on('data', (back) => report({ event: 'piped', worker, text: `${back}` }));
        pipe.write(text);
    },
    exit: ({ code }) => process.exit(code),
    fail: () => { throw new Error('as told'); },
});

readline.createInterface({ input: process.stdin })
    .on('line', (line) => run(JSON.parse(line)))
    .on('close', () => process.exit(3)); // the test has ended
