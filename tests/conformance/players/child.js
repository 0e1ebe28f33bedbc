'use strict';
// A Node child: the argument names the scenario. `child.rs` is its twin.
const child_process = require('child_process');
const fs = require('fs');
const net = require('net');

const kept = [];
const over = (socket) => socket.end().resume();
const onSocket = {
    end: (socket) => socket.end('child').resume(),
    write: (socket) => {
        kept.push(socket.resume());
        socket.write('child', () => process.send('done'));
    },
};

const sendAll = (sizes, make) => {
    const send = (number) => {
        if (number < sizes.length) process.send(make(sizes[number], number), () => send(number + 1));
    };
    send(0);
};

const scenarios = {
    hello: () => process.send('hello'),
    echo: () => process.on('message', (message) => {
        if (message !== 'cycle') return process.send(message);
        const cycle = {};
        cycle.cycle = cycle;
        return process.send(cycle);
    }),
    buffers: () => sendAll(Array(10).fill(65521), (size, byte) => Buffer.alloc(size, byte)),
    'large arrays': () => sendAll(Array(4).fill(8 << 20), (size, byte) => new Uint8Array(size).fill(byte)),
    stay: () => setInterval(() => {}, 1000),
    listen: () => process.on('message', () => {}),
    disconnect: () => {
        const server = net.createServer((socket) => {
            socket.on('end', () => server.close()).resume();
            process.on('disconnect', () => socket.end(`${process.connected}`));
            socket.write('ready');
        });
        server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
    },
    internal: () => {
        for (const cmd of ['fooNODE_', 'NODE_', 'NODE_bar']) process.send({ cmd });
        process.send('last');
        process.on('message', () => {});
    },
    'three at once': () => {
        const expected = [['one', 'undefined'], ['two', 'Server'], ['three', 'undefined']];
        fs.writeSync(1, 'ok\n');
        fs.readSync(0, Buffer.alloc(3)); // messages gather meanwhile
        process.on('message', (message, handle) => {
            const [text, kind] = expected.shift();
            if (message !== text || `${handle?.constructor.name}` !== kind) process.exit(1);
            handle?.close();
            if (expected.length === 0) process.exit();
        });
    },
    server: () => process.once('message', (_, server) => {
        server.on('connection', (socket) => socket.end('child'));
        process.once('message', () => server.close(() => {
            process.send('closed', () => process.disconnect());
        }));
        process.send('listening');
    }),
    dgram: () => process.once('message', (_, socket) => {
        socket.once('message', () => {
            process.send('got one');
            socket.close();
        });
        process.on('message', () => {});
        process.send('ready');
    }),
    sockets: () => {
        process.on('message', (message, socket) => {
            if (socket) return onSocket[message](socket);
            if (message === 'close') return kept.splice(0).forEach(over);
            return kept.pop().on('close', () => process.send('closed')).destroy();
        });
        process.on('disconnect', () => kept.splice(0).forEach(over));
    },
    give: () => {
        const server = net.createServer((ours) => {
            ours.on('error', () => {}).resume();
            process.once('message', () => ours.end('hello'));
        }).listen(0, '127.0.0.1', () => {
            const socket = net.connect(server.address().port, '127.0.0.1', () => {
                process.send('handle', socket);
            });
        });
    },
    leave: () => process.once('message', (_, socket) => {
        socket?.destroy();
        process.exit();
    }),
    'pipe at 4': () => {
        const pipe = new net.Socket({ fd: 4 });
        pipe.on('data', (text) => pipe.write(text)).on('end', () => pipe.end());
        process.on('message', () => {});
    },
    spawn: () => {
        const script = 'console.log(process.env.NODE_CHANNEL_FD, typeof process.send)';
        child_process.execFile('node', ['-e', script], (error, said) => process.send({ error, said }));
    },
    look: () => process.send({ args: process.argv.slice(3), foo: process.env.FOO }),
    say: () => {
        console.log('out');
        console.error('err');
        process.send('said');
    },
    wait: () => {
        process.send('1');
        process.send('2');
        process.on('disconnect', () => process.stdout.write('3'));
    },
    refuse: () => {
        let count = 0;
        process.on('uncaughtException', () => {
            count += 1;
            if (count === 10) process.send(count, () => process.disconnect());
        });
        process.on('message', (message) => { throw new Error(message); });
    },
    nothing: () => {},
    'listen late': () => process.on('exit', () => process.on('message', () => {})),
    detach: () => {
        const grandchild = child_process.spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
        grandchild.unref();
        process.send(grandchild.pid);
        process.on('message', () => {});
    },
};

scenarios[process.argv[2]]();
