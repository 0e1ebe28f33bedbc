'use strict';
// A Node parent or primary that does what it is told; see lines.js. Arguments: `fork` for a
// child, `cluster` for workers; their program, and its arguments.
const child_process = require('child_process');
const cluster = require('cluster');
const { obey, report } = require('./lines');
const handles = require('./handles');
const values = require('./values');

const [form, execPath, exec, ...args] = process.argv.slice(2);
const serialization = process.env.SERIALIZATION;
const peers = new Map(); // a child is number 0
const counts = new Map();

const converse = (worker, peer) => {
    peers.set(worker, peer);
    counts.set(worker, 0);
    peer.on('message', (message, handle) => {
        const type = handle?.constructor.name;
        if (message?.do === 'passed' || message?.number) {
            const count = counts.get(worker) + 1;
            handle?.close();
            counts.set(worker, count);
            if (message.number && message.number !== count) report('disorder', { worker, message });
            if (count === message.count) report('all', { worker, count, type });
            return;
        }
        if (message instanceof Uint8Array) {
            report('bytes', { worker, length: message.length, all: values.allOf(message) });
            return;
        }
        if (message?.length > 1e6) { // too long for a line
            report('text', { worker, length: message.length });
            return;
        }
        if (message?.name) {
            const { name, value } = message;
            report('value', { worker, name, same: values.is(name, value) });
            return;
        }
        report('message', { worker, message, type });
        if (message?.do === 'take') handles.take(message.kind, handle);
    });
};

if (form === 'fork') {
    const child = child_process.fork(exec, args, { execPath, execArgv: [], serialization });
    converse(0, child);
    child.on('disconnect', () => report('disconnect', { worker: 0 }));
    child.on('exit', (code, signal) => report('exit', { worker: 0, code, signal }));
} else {
    process.execPath = execPath;
    cluster.setupPrimary({ exec, args, execArgv: [], serialization });
    cluster.on('online', ({ id, process: { pid } }) => report('online', { worker: id, pid }));
    cluster.on('listening', ({ id }, info) => report('listening', { worker: id, info }));
    for (const event of ['disconnect', 'exit']) {
        cluster.on(event, ({ id, exitedAfterDisconnect: wanted }, code, signal) => {
            report(event, { worker: id, wanted, code, signal });
        });
    }
}

obey({
    fork: ({ count, leave }) => {
        for (; count > 0; count--) {
            const worker = cluster.fork();
            converse(worker.id, worker);
            if (leave) worker.disconnect();
        }
    },
    disconnect: ({ worker }) => peers.get(worker).disconnect(),
    kill: ({ worker, signal }) => peers.get(worker).process.kill(signal),
    send: ({ worker, message }) => peers.get(worker).send(message),
    flood: ({ worker, count }) => {
        for (let number = 1; number <= count; number++) peers.get(worker).send({ number, count });
    },
    value: ({ worker, name }) => peers.get(worker).send({ name, value: values.make(name) }),
    cycle: ({ worker }) => peers.get(worker).send(values.cycle()),
    text: ({ worker, length }) => peers.get(worker).send('x'.repeat(length)),
    bytes: ({ worker, lengths }) => {
        lengths.forEach((length, number) => peers.get(worker).send(Buffer.alloc(length, number)));
    },
    give: ({ worker, kind }) => {
        handles.give(peers.get(worker), kind, (said) => report('heard', { worker, kind, said }));
    },
    pass: ({ worker, count }) => {
        peers.get(worker).send({ do: 'pass', count });
        handles.pass(peers.get(worker), count);
    },
});
