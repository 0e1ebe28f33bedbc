'use strict';
// What anybody writes: an HTTP server in a cluster's worker. Argument: the port or path.
const cluster = require('cluster');
const http = require('http');

http.createServer((request, response) => {
    const answer = () => response.end(`hello ${process.pid} from worker ${cluster.worker.id}\n`);
    if (request.url === '/slow') setTimeout(answer, 50); else answer();
}).listen(process.argv[2]);
