"""Servers that are measured: how to start them, when they are ready, what they use."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
OURS = ROOT / "target/release/examples"
BUILT = ROOT / "target/bench"  # what is not Rust, and logs

# name: (command, environment)
SERVERS = {
    "shared": ([f"{OURS}/hello", "127.0.0.1:{port}"], {"NODE_CLUSTER_SCHED_POLICY": "none"}),
    "round-robin": ([f"{OURS}/hello", "127.0.0.1:{port}"], {"NODE_CLUSTER_SCHED_POLICY": "rr"}),
    "c-shared": ([f"{BUILT}/prefork", "epollex-re", "{port}", "{workers}"], {}),
    "c-exclusive": ([f"{BUILT}/prefork", "epollex", "{port}", "{workers}"], {}),
    "c-rr": ([f"{BUILT}/prefork", "rr", "{port}", "{workers}"], {}),
    "c-rr-batch": ([f"{BUILT}/prefork", "rrbatch", "{port}", "{workers}"], {}),
    "nginx": (["nginx", "-c", f"{BUILT}/nginx-{{port}}.conf"], {}),
    "node-none": (["node", f"{HERE}/node/cluster.js"], {"POLICY": "none"}),
    "node-rr": (["node", f"{HERE}/node/cluster.js"], {"POLICY": "rr"}),
}


def is_here(name):
    """Whether the program of a server is installed; all but Node and nginx are built."""
    return shutil.which(SERVERS[name][0][0]) is not None


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


def now():
    """Milliseconds of the monotonic clock."""
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1e3


class Server:
    """A server that runs and is idle, until the end of a `with`."""

    def __init__(self, name, workers):
        self.name, self.workers, self.port = name, workers, free_port()
        command, environment = SERVERS[name]
        values = {"port": self.port, "workers": workers}
        if name == "nginx":
            write_nginx(self.port, workers)
        environment = dict(os.environ, PORT=str(self.port), WORKERS=str(workers), **environment)
        self.log = open(BUILT / f"{name}.log", "w")
        self.start = now()
        self.process = subprocess.Popen(
            [part.format(**values) for part in command],
            env=environment, stdout=self.log, stderr=self.log,
        )
        self.pid = self.process.pid
        try:
            self.until(lambda: len(children(self.pid)) >= workers and self.answers(), 0.002)
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


def write_nginx(port, workers):
    text = (HERE / "nginx.conf").read_text()
    for key, value in {"PORT": port, "WORKERS": workers, "RUN": BUILT, "REUSEPORT": ""}.items():
        text = text.replace(f"@{key}@", str(value))
    (BUILT / f"nginx-{port}.conf").write_text(text)


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            pass  # the thread has ended
    return found


def tree(pid):
    return [pid] + [other for child in children(pid) for other in tree(child)]


def cpu(pid):
    used = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            used += int(task.read_text().split()[0])
        except OSError:
            pass
    return used / 1e3


def private(pid):
    """KiB of memory that no other process shares."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"Private_(?:Clean|Dirty): +(\d+) kB", text)))
