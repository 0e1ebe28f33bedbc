'use strict';
// Clients of `ws_server.js`. Arguments: the address, and how many. Each sends text after text
// and wants each back; one that loses its connection opens another. At the end of the input
// all say goodbye, after twenty texts at least. Each prints what happens, and with which
// process of the server: `open`, `lost`, `bye`.
const { WebSocket } = require('ws');

const [address, count] = process.argv.slice(2);
let leaving = false;

const connect = (client) => {
    const ws = new WebSocket(`ws://${address}/`);
    let server;
    let number = 0;
    ws.on('error', () => {}); // `close` follows
    ws.on('message', (data) => {
        if (server === undefined) {
            server = `${data}`;
            console.log(`open ${server}`);
        } else if (`${data}` !== `${client}: ${number++}`) {
            throw new Error(`client ${client} got ${data}, not ${number - 1}`);
        }
        if (leaving && number >= 20) ws.close(1000);
        else ws.send(`${client}: ${number}`);
    });
    ws.on('close', (code) => {
        console.log(`${code === 1000 ? 'bye' : 'lost'} ${server}`);
        if (code !== 1000) connect(client);
    });
};

for (let client = 0; client < Number(count); client++) connect(client);
process.stdin.on('end', () => { leaving = true; }).resume();
