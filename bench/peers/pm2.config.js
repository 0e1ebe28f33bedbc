'use strict';
// pm2 over Node's cluster: PORT and WORKERS in the environment.
const { PORT, WORKERS } = process.env;
module.exports = {
  apps: [{
    name: 'bench', script: `${__dirname}/../node/app.js`, exec_mode: 'cluster', instances: +WORKERS,
    env: { PORT },
  }],
};
