'use strict';
// What anybody writes: an HTTP server in a cluster's worker. Argument: the port or path.
const cluster = require('cluster');
const http = require('http');

const text = `hello ${process.pid} from worker ${cluster.worker.id}\n`;

http.createServer((request, response) => {
    response.setHeader('Content-Length', text.length);
    if (request.url === '/slow') {
        response.flushHeaders(); // so the client knows that it is being served
        setTimeout(() => response.end(text), 50);
    } else {
        response.end(text);
    }
}).listen(process.argv[2]);
