'use strict';
// A Node cluster: PORT, WORKERS, POLICY (rr or none) in the environment. Replaces who dies, and
// everybody, one after the other, for a SIGHUP.
const cluster = require('cluster');
cluster.schedulingPolicy = process.env.POLICY === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;
if (cluster.isPrimary) {
  for (let i = 0; i < +process.env.WORKERS; i++) cluster.fork();
  cluster.on('exit', (worker) => { if (!worker.exitedAfterDisconnect) cluster.fork(); });
  process.on('SIGHUP', () => {
    const old = Object.values(cluster.workers);
    (function next() {
      const worker = old.shift();
      if (worker) cluster.fork().once('listening', () => { worker.disconnect(); next(); });
    })();
  });
} else {
  require('./app.js');
}
