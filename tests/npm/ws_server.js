'use strict';
// The echo server of the documentation of `ws`, which first says who it is.
const { WebSocketServer } = require('ws');

const wss = new WebSocketServer({ port: process.env.PORT ?? 8080 });

wss.on('connection', (ws) => {
    ws.on('error', console.error);
    ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
    ws.send(`${process.pid}`);
});
