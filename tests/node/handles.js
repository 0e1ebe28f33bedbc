'use strict';
// Handles of all kinds. Who receives one greets through it; who has sent it hears that at the
// other end: so the handle works. A kind is Node's name of it, and `unix` behind that.
const dgram = require('dgram');
const fs = require('fs');
const net = require('net');

const GREETING = 'hello from node';
let paths = 0;

// Calls back with the handle, and with what is to be done when it has been sent: to let go of
// it here, and to hear what the receiver says.
const make = (kind, heard, ready) => {
    const [type, family] = kind.split(' ');
    if (type.startsWith('dgram')) return makeDatagram(type, heard, ready);
    let address = { host: '127.0.0.1', port: 0 };
    if (family === 'unix') address = { path: `node-${process.pid}-${++paths}.sock` };
    const server = net.createServer().listen({ ...address, exclusive: true }, () => {
        if (address.path) {
            const path = `${address.path}.moved`; // a server that closes removes its file
            fs.renameSync(address.path, path);
            address = { path };
        } else {
            address.port = server.address().port;
        }
        if (type === 'net.Server') {
            ready(server, () => server.close(() => hear(net.connect(address), heard)));
            return;
        }
        const client = net.connect(address);
        server.once('connection', (socket) => {
            const native = type === 'net.Native';
            ready(native ? socket._handle : socket, () => {
                if (native) socket.destroy();
                server.close(() => hear(client, heard)); // waits for the receiver's word
            });
        });
    });
};

const hear = (client, heard) => {
    let said = '';
    client.on('data', (data) => { said += data; });
    client.on('end', () => heard(said));
};

const makeDatagram = (type, heard, ready) => {
    const socket = dgram.createSocket('udp4');
    socket.bind({ port: 0, address: '127.0.0.1', exclusive: true }, () => {
        const { port } = socket.address();
        ready(type === 'dgram.Native' ? socket._handle : socket, () => socket.close(() => {
            const client = dgram.createSocket('udp4');
            client.once('message', (said) => client.close(() => heard(`${said}`)));
            client.send('who is there?', port, '127.0.0.1');
        }));
    });
};

exports.give = (peer, kind, heard) => make(kind, heard, (handle, sent) => {
    peer.send({ do: 'take', kind }, handle, sent);
});

exports.take = (kind, handle) => {
    const type = kind.split(' ')[0];
    if (type === 'net.Server') {
        handle.once('connection', (socket) => {
            socket.end(GREETING);
            handle.close();
        });
    } else if (type === 'net.Socket') {
        handle.end(GREETING);
    } else if (type === 'net.Native') {
        new net.Socket({ handle }).end(GREETING);
    } else {
        const socket = type === 'dgram.Native' ? dgram.createSocket('udp4').bind(handle) : handle;
        socket.once('message', (_, { port, address }) => {
            socket.send(GREETING, port, address, () => socket.close());
        });
    }
};

// Sends many sockets at once, waiting for nothing; none is the cluster's.
exports.pass = (peer, count) => {
    for (let number = 1; number <= count; number++) {
        const socket = dgram.createSocket('udp4');
        socket.bind({ port: 0, address: '127.0.0.1', exclusive: true }, () => {
            peer.send({ do: 'passed', count }, socket, () => socket.close());
        });
    }
};
