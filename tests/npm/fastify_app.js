'use strict';
// The first server of Fastify's documentation, which says who answers.
const fastify = require('fastify')({ logger: true });

fastify.get('/', async () => `${process.pid}`);

fastify.get('/slow', (request, reply) => {
    reply.raw.flushHeaders(); // so the client knows that it is being served
    setTimeout(() => reply.raw.end(`${process.pid}`), 50);
});

const start = async () => {
    try {
        await fastify.listen({ port: process.env.PORT ?? 3000 });
    } catch (error) {
        fastify.log.error(error);
        process.exit(1);
    }
};
start();
