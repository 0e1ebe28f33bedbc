'use strict';
// A server whose kept connections come to an end when its worker is to leave: it says so with
// the next answer. Argument: the port.
const cluster = require('cluster');
const http = require('http');

const text = `hello ${process.pid} from worker ${cluster.worker.id}\n`;

const server = http.createServer((request, response) => {
    response.setHeader('Content-Length', text.length);
    if (cluster.worker.exitedAfterDisconnect) response.setHeader('Connection', 'close');
    response.end(text);
});

// Node closes idle connections as soon as the worker is to leave, even those on which a client
// asks in this very moment. They end by the answer above, or by keepAliveTimeout.
server.closeIdleConnections = () => {};
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listens'));
