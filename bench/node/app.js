'use strict';
// The HTTP server of a worker.
const http = require('http');
const body = `hello ${process.pid}\n`;
const head = { 'Content-Length': Buffer.byteLength(body) };
function send(res) { res.writeHead(200, head); res.end(body); }
const server = http.createServer((req, res) => {
  if (req.url === '/slow') setTimeout(send, 50, res);
  else send(res);
}).listen(+process.env.PORT, '127.0.0.1');
// pm2 ends a worker with this signal, and its manual has programs close their server then.
process.on('SIGINT', () => server.close(() => process.exit(0)));
