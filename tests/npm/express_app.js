'use strict';
// The "Hello world" of Express's documentation. It says who answers, and has one slow route.
const express = require('express');
const app = express();
const port = process.env.PORT ?? 3000;

app.get('/', (req, res) => {
    res.send(`${process.pid}`);
});

app.get('/slow', (req, res) => {
    res.flushHeaders(); // so the client knows that it is being served
    setTimeout(() => res.end(`${process.pid}`), 50);
});

app.listen(port, (error) => {
    if (error) throw error;
    console.log(`Example app listening on port ${port}`);
});
