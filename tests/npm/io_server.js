'use strict';
// A server in the shape of Socket.IO's documentation: each message is acknowledged, here with
// the process and the message.
const { createServer } = require('http');
const { Server } = require('socket.io');

const httpServer = createServer();
const io = new Server(httpServer, {});

io.on('connection', (socket) => {
    socket.on('echo', (message, acknowledge) => acknowledge(`${process.pid}`, message));
});

httpServer.listen(process.env.PORT ?? 3000);
