"""Servers that are measured: how to start them, when they are ready, what they use."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from processes import children, cpu, now, tree

HERE = Path(__file__).parent
ROOT = HERE.parent
OURS = ROOT / "target/release/examples"
BUILT = ROOT / "target/bench"  # what is not Rust, and logs
PM2 = HERE / "peers/node_modules/.bin"


@dataclass
class Kind:
    """A sort of server. What its command and its environment say in braces is filled in."""
    command: list
    environment: dict = field(default_factory=dict)
    has_workers: bool = True  # processes; else it has threads
    reload: list = None  # a command; else SIGHUP
    reload_seconds: float = 1.0  # enough for a reload under load


def ours(example, **environment):
    return Kind([f"{OURS}/{example}", "127.0.0.1:{port}"], environment)


def c(mode):
    return Kind([f"{BUILT}/prefork", mode, "{port}", "{workers}"])


def threads(*command):
    return Kind(list(command), has_workers=False)


POLICIES = {
    "shared": {"NODE_CLUSTER_SCHED_POLICY": "none"},
    "round-robin": {"NODE_CLUSTER_SCHED_POLICY": "rr"},
    "reuse-port": {"CLUSTER_POLICY": "reuse-port"},
}
KINDS = {
    **{policy: ours("hello", **environment) for policy, environment in POLICIES.items()},
    **{f"axum-{policy}": ours("bench_axum", **environment) for policy, environment in POLICIES.items()},
    "axum-alone": threads(f"{OURS}/bench_axum", "127.0.0.1:{port}", "alone"),
    "c-shared": c("epollex-re"),
    "c-exclusive": c("epollex"),
    "c-rr": c("rr"),
    "c-rr-batch": c("rrbatch"),
    "c-reuseport": c("reuseport"),
    "nginx": Kind(["nginx", "-c", f"{BUILT}/nginx-{{port}}.conf"]),
    "nginx-reuseport": Kind(["nginx", "-c", f"{BUILT}/nginx-{{port}}.conf"]),
    "node-none": Kind(["node", f"{HERE}/node/cluster.js"], {"POLICY": "none"}),
    "node-rr": Kind(["node", f"{HERE}/node/cluster.js"], {"POLICY": "rr"}),
    "actix": threads(f"{OURS}/bench_actix", "127.0.0.1:{port}"),
    "go": threads(f"{BUILT}/go-hello"),
    "gunicorn": Kind(["gunicorn", "-w", "{workers}", "-b", "127.0.0.1:{port}", "--chdir", f"{HERE}/peers",
                      "--log-level", "warning", "wsgi:app"]),
    "pm2": Kind([f"{PM2}/pm2-runtime", "start", f"{HERE}/peers/pm2.config.js"],
                {"PM2_HOME": f"{BUILT}/pm2-{{port}}", "PM2_DISABLE_VERSION_CHECK": "true"},
                reload=[f"{PM2}/pm2", "reload", "bench"], reload_seconds=2.0),
}


def is_here(name):
    """Whether the program of a server is installed; most are built."""
    return shutil.which(KINDS[name].command[0]) is not None


def load(port, background=False, **options):
    """Runs the load generator; what it says."""
    pairs = [f"{key}={value}" for key, value in options.items()]
    command = [f"{OURS}/bench_load", f"127.0.0.1:{port}", *pairs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process if background else spoken(process)


def spoken(process):
    output, _ = process.communicate(timeout=60)
    if process.returncode:
        raise RuntimeError(f"{process.args} failed")
    return json.loads(output)


class Server:
    """A server that runs and is idle, until the end of a `with`."""

    def __init__(self, name, workers):
        self.name, self.workers, self.port = name, workers, free_port()
        self.kind = KINDS[name]
        if name.startswith("nginx"):
            write_nginx(self.port, workers, "reuseport" if name == "nginx-reuseport" else "")
        values = {"port": self.port, "workers": workers}
        given = {key: text.format(**values) for key, text in self.kind.environment.items()}
        self.environment = dict(os.environ, PORT=str(self.port), WORKERS=str(workers), **given)
        self.log = open(BUILT / f"{name}.log", "w")
        self.start = now()
        self.process = subprocess.Popen(
            [part.format(**values) for part in self.kind.command],
            env=self.environment, stdout=self.log, stderr=self.log,
        )
        self.pid = self.process.pid
        try:
            self.until(self.serves, 0.002)
            self.up = now() - self.start
            self.until(self.is_idle, 0)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def until(self, condition, pause):
        end = time.monotonic() + 60
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not serve: see {self.log.name}")
            time.sleep(pause)

    def serves(self):
        are_there = not self.kind.has_workers or len(children(self.pid)) >= self.workers
        return are_there and self.answers()

    def answers(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
            connection.request("GET", "/", headers={"Connection": "close"})
            return connection.getresponse().status == 200
        except OSError:
            return False

    def is_idle(self):
        """Whether it used under 2 ms of CPU in a tenth of a second."""
        before = self.cpu()["all"]
        time.sleep(0.1)
        return self.cpu()["all"] - before < 2000

    def cpu(self):
        """Microseconds of CPU so far: of the master, and of all processes."""
        return {"master": cpu(self.pid), "all": sum(map(cpu, tree(self.pid)))}

    def reload(self):
        """Has it replace all workers, which goes on."""
        if self.kind.reload is None:
            return os.kill(self.pid, signal.SIGHUP)
        command = dict(env=self.environment, stdout=self.log, stderr=self.log)
        subprocess.run(self.kind.reload, check=True, timeout=60, **command)

    def stop(self):
        workers = [os.pidfd_open(pid) for pid in tree(self.pid)[1:]]
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for watched in workers:  # by pidfd: a number may be another's by now
            try:
                signal.pidfd_send_signal(watched, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(watched)
        self.log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_nginx(port, workers, reuseport):
    text = (HERE / "nginx.conf").read_text()
    for key, value in {"PORT": port, "WORKERS": workers, "RUN": BUILT, "REUSEPORT": reuseport}.items():
        text = text.replace(f"@{key}@", str(value))
    (BUILT / f"nginx-{port}.conf").write_text(text)
