"""The measures: each takes a round, and gives rows of figures."""
import json
import os
import random
import signal
import statistics
import subprocess
import time

from servers import BUILT, HERE, OURS, Server, children, is_here, load, now, private, spoken

# Which servers each takes, for a column to make sense.
CONNECTIONS = ["shared", "round-robin", "c-shared", "c-rr", "c-rr-batch", "nginx", "node-none", "node-rr"]
KEEP_ALIVE = ["shared", "round-robin", "c-shared", "c-rr", "nginx", "node-none", "node-rr"]
BALANCE = ["shared", "round-robin", "c-shared", "c-exclusive", "c-rr", "nginx", "node-none", "node-rr"]
KILLED = ["shared", "round-robin", "c-rr", "nginx", "node-rr"]
SLOW = ["shared", "round-robin", "node-rr"]
MEMORY = ["shared", "round-robin", "c-shared", "nginx", "node-rr"]

PLACES = {
    "one at a time": dict(at_once=1, count=2000),
    "16 at a time": dict(at_once=16, count=6000),
    "256 at a time": dict(at_once=256, count=8000),
    "256 held, paced": dict(at_once=256, mode="hold", rate=1000),
    "256 held, burst": dict(at_once=256, mode="hold"),
}


def shuffled(names):
    """Each round in another order, so that none is always behind the same one."""
    names = [name for name in names if is_here(name)]
    return random.sample(names, len(names))


class Round:
    """One round over servers that stay up for all rounds: `two` and `four` are by workers."""

    def __init__(self, two, four, seconds):
        self.two, self.four, self.seconds = two, four, seconds

    def connections(self):
        for name in shuffled(CONNECTIONS):
            yield self.use(name, "connections", at_once=64)

    def keep_alive(self):
        for name in shuffled(KEEP_ALIVE):
            yield self.use(name, "requests", at_once=64, mode="keep")

    def use(self, name, unit, **options):
        """What one `unit` costs the server, in microseconds of CPU."""
        server = self.two[name]
        before = server.cpu()
        said = load(server.port, seconds=self.seconds, **options)
        after = server.cpu()
        count = said[unit]
        used = {key: (after[key] - before[key]) / count for key in after}
        return dict(name=name, rate=count / said["seconds"], failed=said["failed"], **used)

    def balance(self):
        for name in shuffled(BALANCE):
            for place, options in PLACES.items():
                said = load(self.four[name].port, seconds=4, **options)
                counts = [worker["count"] for worker in said["workers"].values()]
                mean = sum(counts) / 4
                failed = said["failed"]
                yield dict(name=name, place=place, worst=max(counts) / mean, counts=counts, failed=failed)

    def messages(self):
        yield dict(name="ours", **run(f"{OURS}/bench_messages"))
        others = {"c": [f"{BUILT}/ipc", "epoll"], "node": ["node", f"{HERE}/node/ipc.js", "json"]}
        for name, command in others.items():
            if name == "node" and not is_here("node-rr"):
                continue
            said = run(*command)
            names = {"one_by_one": "rt_s", "many": "rt64_s", "one_way": "oneway_s"}
            yield dict(name=name, **{ours: said[theirs] for ours, theirs in names.items()})

    def handoff(self):
        yield dict(name="ours", **run(f"{OURS}/bench_handoff"))
        for said in lines(f"{BUILT}/fdpass", "256000"):
            yield dict(name=said["name"], rate=said["fds_s"], sender=said["sender_us"])

    def start(self):
        ours = run(f"{OURS}/bench_start", "1", "20")
        yield dict(name="ours", milliseconds=statistics.median(ours[1:]))  # the first warms up
        for said in lines(f"{BUILT}/spawn", "100", f"{OURS}/bench_tiny"):
            if said["name"].startswith("vfork+exec") and "200MB" not in said["name"] and said["par"] == 1:
                yield dict(name="program", milliseconds=said["p50_us"] / 1e3)
        if is_here("node-rr"):
            said = lines("node", f"{HERE}/node/start.js", "1", "3", "net", PORT="0")
            yield dict(name="node", milliseconds=statistics.median(row["all_ms"] for row in said[1:]))

    def many(self):
        yield dict(name="ours", each=run(f"{OURS}/bench_start", "200", "1")[0] / 200)
        for name in shuffled(["shared", "nginx", "c-shared"]):
            with Server(name, 200) as server:
                yield dict(name=name, each=server.up / 200)

    def killed(self):
        for name in shuffled(KILLED):
            yield kill(name, "/", rate=500, at_once=256)
        for name in shuffled(SLOW):
            yield kill(name, "/slow", rate=400, at_once=256)

    def memory(self):
        for name in shuffled(MEMORY):
            server = self.four[name]
            load(server.port, at_once=16, count=400)
            workers = children(server.pid)
            yield dict(name=name, worker=statistics.median(map(private, workers)))


def kill(name, path, **options):
    """Kills one of two workers under load: when its replacement answers, and what fails."""
    with Server(name, 2) as server:
        old = children(server.pid)
        process = load(server.port, background=True, path=path, seconds=1.2, **options)
        try:
            time.sleep(0.5)  # so that it is busy
            killed = now()
            os.kill(old[0], signal.SIGKILL)
        finally:
            said = spoken(process)
    first = [w["first"] - killed for pid, w in said["workers"].items() if int(pid) not in old]
    failed = said["failed"]
    hang = failed.pop("hang", 0)
    answer = min(first, default=None)
    return dict(name=name, path=path, answer=answer, failed=sum(failed.values()), hang=hang)


def lines(*command, **environment):
    """What a program says, a JSON value in each line."""
    done = subprocess.run(
        command, env=dict(os.environ, **environment), stdout=subprocess.PIPE, text=True, check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def run(*command):
    return lines(*command)[0]


MEASURES = ["connections", "keep_alive", "balance", "messages", "handoff", "start", "many", "killed", "memory"]
