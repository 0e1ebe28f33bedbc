'use strict';
// A Node parent over a child of ours. Arguments: the scenario, the child's program and its
// arguments. It ends with 0 if everything came as it should.
const assert = require('assert');
const child_process = require('child_process');
const dgram = require('dgram');
const net = require('net');

const [scenario, execPath, script, ...args] = process.argv.slice(2);

// What has to happen so many times until this process ends.
const owed = new Map();
const must = (name, act = () => {}, count = 1) => {
    owed.set(name, (owed.get(name) ?? 0) + count);
    return (...values) => {
        owed.set(name, owed.get(name) - 1);
        return act(...values);
    };
};
process.on('exit', (code) => {
    for (const [name, left] of owed) if (code === 0) assert.strictEqual(left, 0, `${name}: ${left}`);
});

const fork = (options) => {
    const child = child_process.fork(script, args, { execPath, execArgv: [], ...options });
    child.on('exit', must('exit', (...end) => { child.end = end; }));
    return child;
};
const forkWell = (options) => {
    const child = fork(options);
    child.on('exit', (...end) => assert.deepStrictEqual(end, [0, null]));
    return child;
};
const local = (server, then) => server.listen(0, '127.0.0.1', () => then(server.address().port));

// Clients that read to the end, and what they have read.
const connect = (port, count, closed = () => {}) => {
    for (; count > 0; count--) {
        let said = '';
        net.connect(port, '127.0.0.1').setEncoding('utf8')
            .on('data', (text) => { said += text; })
            .on('close', must('client closed', () => closed(said)));
    }
};

const receive = (sizes, make) => {
    let number = 0;
    const check = (message) => {
        assert.ok(make(sizes[number], number).equals(message), `number ${number}`);
        number += 1;
    };
    forkWell({ serialization: 'advanced' }).on('message', must('message', check, sizes.length));
};

const scenarios = {
    hello: () => {
        const order = [];
        const child = forkWell();
        child.on('message', must('message', (said) => order.push(said)));
        child.on('exit', () => order.push('exit'));
        child.on('close', must('close', () => {
            assert.deepStrictEqual(order, ['hello', 'exit']);
            child.on('error', must('error', (error) => {
                assert.strictEqual(error.code, 'ERR_IPC_CHANNEL_CLOSED');
            }, 2));
            assert.strictEqual(child.send('ping'), false);
            assert.strictEqual(child.send('pong'), false);
        }));
    },
    'hello at': () => {
        const place = Number(args.at(-1));
        const stdio = ['ignore', 'ignore', 'inherit'];
        stdio[place] = 'ipc';
        forkWell({ stdio }).on('message', must('message', (said) => assert.strictEqual(said, 'hello')));
    },
    echo: () => {
        const child = forkWell();
        const said = [{ hello: 'world' }, null, 1.5, ['a', { b: false }], 'ß'.repeat(400_000)];
        child.on('message', must('message', (echo) => {
            assert.deepStrictEqual(echo, said.shift());
            if (said.length > 0) return child.send(said[0]);
            return child.disconnect();
        }, said.length));
        child.on('disconnect', must('disconnect', () => assert.strictEqual(child.connected, false)));
        assert.strictEqual(child.send(said[0], must('sent', (error) => assert.ifError(error))), true);
    },
    'echo values': () => {
        const values = [
            { uint8: new Uint8Array(4) }, { float64: new Float64Array([Math.PI]) },
            { buffer: Buffer.from('Hello!') }, { map: new Map([[{ a: 1 }, { b: 2 }]]) },
            { set: new Set([1, 'two']) }, { bigInt: 1337n }, { date: new Date(1e12) }, { none: undefined },
            new Error('Something went wrong'), new RangeError('Something range-y went wrong'),
        ];
        const child = forkWell({ serialization: 'advanced' });
        child.on('message', must('message', (echo) => {
            assert.deepStrictEqual(echo, values.shift());
            if (values.length > 0) child.send(values[0]); else child.disconnect();
        }, values.length));
        child.send(values[0]);
    },
    buffers: () => receive(Array(10).fill(65521), (size, byte) => Buffer.alloc(size, byte)),
    'large arrays': () => receive(Array(4).fill(8 << 20), (size, byte) => Buffer.alloc(size, byte)),
    disconnect: () => {
        const child = forkWell();
        child.on('disconnect', must('disconnect', () => assert.strictEqual(child.connected, false)));
        child.on('message', must('message', ({ port }) => {
            let said = '';
            net.connect(port, '127.0.0.1').setEncoding('utf8').on('data', (text) => {
                said += text;
                if (said === 'ready') {
                    child.disconnect();
                    assert.throws(() => child.disconnect(), { code: 'ERR_IPC_DISCONNECTED' });
                }
            }).on('end', must('end', () => assert.strictEqual(said, 'readyfalse')));
        }));
    },
    internal: () => {
        const child = forkWell();
        const said = [];
        child.on('message', (message) => {
            said.push(message);
            if (message === 'last') child.disconnect();
        });
        child.on('exit', () => {
            assert.deepStrictEqual(said, [{ cmd: 'fooNODE_' }, { cmd: 'NODE_' }, 'last']);
        });
        child.on('internalMessage', must('internal', ({ cmd }) => assert.strictEqual(cmd, 'NODE_bar')));
    },
    'three at once': () => {
        const child = forkWell({ stdio: ['pipe', 'pipe', 'inherit', 'ipc'] });
        child.stdout.once('data', must('ready', () => {
            const server = net.createServer();
            local(server, () => {
                child.send('one');
                child.send('two', server);
                child.send('three');
                child.stdin.write('ok\n');
                child.on('exit', () => server.close());
            });
        }));
    },
    stay: () => {
        const child = fork();
        const server = net.createServer();
        local(server, () => {
            assert.strictEqual(child.send('one', server._handle), true);
            assert.strictEqual(child.send('two'), true);
            assert.strictEqual(child.send('three'), false); // behind one that is not acknowledged
            child.send('four', must('sent', () => {
                assert.strictEqual(child.send('five', server._handle), true);
                child.kill();
                server.close();
            }));
        });
        child.on('exit', (...end) => assert.deepStrictEqual(end, [null, 'SIGTERM']));
    },
    server: () => {
        const child = forkWell();
        const server = net.createServer((socket) => {
            socket.end('parent');
            seen.add('parent');
        });
        const seen = new Set();
        local(server, (port) => {
            child.send('server', server);
            const knock = () => net.connect(port, '127.0.0.1').setEncoding('utf8')
                .on('data', (who) => seen.add(who))
                .on('close', () => {
                    if (seen.has('parent') && !server.listening && seen.has('child')) return child.send('close');
                    // Whoever has been heard stops, and the other one has the rest.
                    if (seen.has('parent') && server.listening) server.close();
                    return knock();
                });
            child.on('message', must('message', (said) => {
                if (said === 'listening') return knock();
                return assert.strictEqual(said, 'closed');
            }, 2));
        });
    },
    dgram: () => {
        const child = forkWell();
        const socket = dgram.createSocket('udp4');
        const client = dgram.createSocket('udp4');
        const seen = new Set();
        socket.once('message', must('parent', () => { seen.add('parent'); socket.close(); }));
        socket.bind(0, '127.0.0.1', () => {
            const { port } = socket.address();
            child.send('socket', socket);
            child.on('message', must('message', (said) => {
                if (said === 'got one') return seen.add('child');
                const timer = setInterval(() => {
                    if (seen.size === 2) {
                        clearInterval(timer);
                        client.close();
                        child.disconnect();
                    } else {
                        client.send('some bytes', port, '127.0.0.1');
                    }
                }, 1);
                return assert.strictEqual(said, 'ready');
            }, 2));
        });
    },
    'keep open': () => {
        const child = forkWell();
        const server = net.createServer(must('connection', (socket) => {
            child.on('message', must('message', (said) => {
                assert.strictEqual(said, 'done');
                socket.end('parent', () => {
                    server.close();
                    child.disconnect();
                });
            }));
            child.send('write', socket, { keepOpen: true }, must('sent', (error) => assert.ifError(error)));
        }));
        local(server, (port) => connect(port, 1, (said) => assert.strictEqual(said, 'childparent')));
    },
    socket: () => {
        const child = forkWell();
        const server = net.createServer(must('connection', (socket) => {
            child.send('end', socket);
            server.close(() => child.disconnect());
        }));
        local(server, (port) => connect(port, 1, (said) => assert.strictEqual(said, 'child')));
    },
    'sockets of three': () => {
        const children = [fork(), fork(), fork()];
        // Node fails at a message after `disconnect` that nobody listens to.
        for (const child of children) child.on('message', () => {});
        let connected = 0;
        let ended = 0;
        const goOn = () => {
            if (ended !== 6 || connected !== 12) return;
            // The others are still with the children, so the server is not closed yet.
            children[0].send('close');
            children[1].send('close');
            children[2].disconnect();
        };
        const server = net.createServer(must('connection', (socket) => {
            children[connected % 3].send(connected < 6 ? 'end' : 'write', socket);
            connected += 1;
            if (connected < 12) return;
            server.close(must('close', () => children.forEach((child) => child.kill())));
            goOn();
        }, 12));
        local(server, (port) => connect(port, 12, () => {
            ended += 1;
            goOn();
        }));
    },
    'count sockets': () => {
        const child = fork();
        let ready = 0;
        const close = (left) => {
            child.once('message', must('message', (said) => {
                assert.strictEqual(said, 'closed');
                server.getConnections(must('count', (error, count) => {
                    assert.ifError(error);
                    assert.strictEqual(count, left);
                    if (left > 0) return close(left - 1);
                    return server.close(must('close', () => child.kill()));
                }));
            }));
            child.send('close one');
        };
        const server = net.createServer(must('connection', (socket) => child.send('write', socket), 12));
        child.on('message', function count() {
            ready += 1;
            if (ready < 12) return;
            child.off('message', count);
            close(11);
        });
        local(server, (port) => connect(port, 12));
    },
    'many give': () => {
        for (let number = 0; number < 80; number++) {
            const child = fork();
            child.once('message', must('message', (said, socket) => {
                assert.strictEqual(said, 'handle');
                child.send('got');
                let text = '';
                socket.setEncoding('utf8')
                    .on('data', (more) => { text += more; })
                    .on('end', must('end', () => {
                        assert.strictEqual(text, 'hello');
                        socket.end();
                        child.kill();
                    }));
            }));
        }
    },
    'end in the middle': () => {
        const child = fork();
        const late = ({ code }) => assert.ok(['ECONNRESET', 'EPIPE', 'ERR_IPC_CHANNEL_CLOSED'].includes(code), code);
        child.on('error', late);
        const open = new Set();
        const server = net.createServer((socket) => open.add(socket.on('error', () => {})));
        child.on('close', must('close', () => {
            assert.strictEqual(child.channel, null);
            for (const socket of open) socket.destroy();
            server.close();
        }));
        local(server, (port) => {
            const send = (then) => {
                const socket = net.connect(port, '127.0.0.1', () => child.send('leave', socket, then));
                open.add(socket.on('error', () => {}));
            };
            send(() => {
                for (let number = 0; number < 10; number++) send((error) => error && late(error));
            });
        });
    },
    'pipe at 4': () => {
        assert.throws(() => child_process.fork(script, args, { execPath, stdio: ['pipe', 'pipe'] }), {
            code: 'ERR_CHILD_PROCESS_IPC_REQUIRED',
        });
        const child = forkWell({ stdio: ['ignore', 'pipe', 'inherit', 'ipc', 'pipe'] });
        assert.strictEqual(child.stdio[0], null);
        let said = '';
        child.stdio[4].setEncoding('utf8').on('data', (text) => {
            said += text;
            if (said !== 'via fd 4') return;
            child.stdio[4].end();
            child.disconnect();
        }).on('close', must('close', () => assert.strictEqual(said, 'via fd 4')));
        child.stdio[4].write('via fd 4');
    },
};

scenarios[scenario]();
