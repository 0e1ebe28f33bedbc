'use strict';
// A Node cluster: PORT, WORKERS, POLICY (rr or none) in the environment. Replaces who ends.
const cluster = require('cluster');
cluster.schedulingPolicy = process.env.POLICY === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;
if (cluster.isPrimary) {
  for (let i = 0; i < +process.env.WORKERS; i++) cluster.fork();
  cluster.on('exit', () => cluster.fork());
} else {
  require('./app.js');
}
