'use strict';
// Clients of `io_server.js`, as `ws_client.js` has them. Each has an IP address of its own and
// opens a connection for each request: its session is lost when two workers get them.
const http = require('http');
const { io } = require('socket.io-client');

const [address, count] = process.argv.slice(2);
let leaving = false;

const connect = (client) => {
    const agent = new http.Agent({ keepAlive: false, localAddress: `127.0.1.${client + 1}` });
    const options = { agent, forceNew: true, reconnection: false, transports: ['polling'] };
    const socket = io(`http://${address}/`, options);
    let server;
    let number = 0;
    const next = () => socket.emit('echo', number, (pid, echo) => {
        if (echo !== number++) throw new Error(`client ${client} got ${echo}`);
        if (server === undefined) console.log(`open ${server = pid}`);
        if (pid !== server) throw new Error(`client ${client} moved from ${server} to ${pid}`);
        if (leaving && number >= 20) socket.disconnect();
        else next();
    });
    const end = (reason) => {
        const bye = reason === 'io client disconnect';
        console.log(`${bye ? 'bye' : 'lost'} ${server}`);
        if (!bye) connect(client);
    };
    socket.on('connect', next);
    socket.on('connect_error', end);
    socket.on('disconnect', end);
};

for (let client = 0; client < Number(count); client++) connect(client);
process.stdin.on('end', () => { leaving = true; }).resume();
