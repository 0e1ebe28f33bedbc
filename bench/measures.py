"""The measures: each takes a round, and gives rows of figures."""
import json
import os
import random
import signal
import statistics
import subprocess
import time

from processes import children, connections, is_stopped, now, private
from servers import BUILT, HERE, OURS, Server, is_here, load, spoken

# Which servers each takes, for a column to make sense.
HELLO = ["shared", "round-robin", "reuse-port"]
C = ["c-shared", "c-rr", "c-reuseport"]
NGINX = ["nginx", "nginx-reuseport"]
NODE = ["node-none", "node-rr"]
AXUM = ["axum-shared", "axum-round-robin", "axum-reuse-port", "axum-alone"]
CONNECTIONS = [*HELLO, *C, "c-rr-batch", *NGINX, *NODE, "axum-alone", "actix", "go", "gunicorn"]
KEEP_ALIVE = [*HELLO, *C, *NGINX, *NODE, *AXUM, "actix", "go"]
BALANCE = [*HELLO, *C, "c-exclusive", *NGINX, *NODE]
KILLED = [*HELLO, "c-rr", "c-reuseport", *NGINX, "node-rr", "gunicorn", "pm2"]
SLOW = [*HELLO, "node-rr", "gunicorn", "pm2"]
RELOAD = [*HELLO, *NGINX, "node-rr", "gunicorn", "pm2"]
MEMORY = [*HELLO, "c-shared", "c-reuseport", *NGINX, "node-rr", "gunicorn"]
SIZES = ["round-robin", "c-rr"]
TWO = list(dict.fromkeys(CONNECTIONS + KEEP_ALIVE))
FOUR = list(dict.fromkeys(BALANCE + MEMORY))

PLACES = {
    "one at a time": dict(at_once=1, count=2000),
    "16 at a time": dict(at_once=16, count=6000),
    "256 at a time": dict(at_once=256, count=8000),
    "256 held, paced": dict(at_once=256, mode="hold", rate=1000),
    "256 held, burst": dict(at_once=256, mode="hold"),
}
RELOADED = {
    "new connections": dict(at_once=64),
    "keep-alive": dict(at_once=64, mode="keep"),
    "`/slow`": dict(at_once=256, path="/slow", rate=400),
}
MANY = [2, 50, 200, 500]


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
            yield self.use(self.two[name], "connections", at_once=64)

    def keep_alive(self):
        for name in shuffled(KEEP_ALIVE):
            yield self.use(self.two[name], "requests", at_once=64, mode="keep")

    def use(self, server, unit, **options):
        """What one `unit` costs the server, in microseconds of CPU."""
        before = server.cpu()
        said = load(server.port, seconds=self.seconds, **options)
        after = server.cpu()
        count = said[unit]
        used = {key: (after[key] - before[key]) / count for key in after}
        return dict(name=server.name, rate=count / said["seconds"], failed=said["failed"], **used)

    def balance(self):
        for name in shuffled(BALANCE):
            for place, options in PLACES.items():
                said = load(self.four[name].port, seconds=4, **options)
                counts = [worker["count"] for worker in said["workers"].values()]
                mean = sum(counts) / 4
                failed = said["failed"]
                yield dict(name=name, place=place, worst=max(counts) / mean, counts=counts, failed=failed)

    def messages(self):
        said = run(f"{OURS}/bench_messages")
        yield dict(name="ours", **said["single"])
        yield dict(name="ours, many in a write", one_by_one=None, **said["batched"])
        others = {"c": [f"{BUILT}/ipc", "epoll"], "node": ["node", f"{HERE}/node/ipc.js"]}
        for name, command in others.items():
            if name == "node" and not is_here("node-rr"):
                continue
            said = run(*command)
            names = {"one_by_one": "rt_s", "many": "rt64_s", "one_way": "oneway_s"}
            yield dict(name=name, **{ours: said[theirs] for ours, theirs in names.items()})
            if name == "c":
                batched = said["oneway_batched_s"]
                yield dict(name="c, many in a write", one_by_one=None, many=None, one_way=batched)

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

    def preload(self):
        for name in random.sample(["started", "preloaded", "preloaded-huge"], 3):
            said = run(f"{OURS}/bench_preload", name)
            times = {key: statistics.median(said[key]) for key in ("next", "second", "listening", "burst")}
            yield dict(name=name, memory=said["memory"], molds=said["molds"], slow=nine_of_ten(said["next"]), **times)

    def many(self):
        yield dict(name="ours", each=run(f"{OURS}/bench_start", "200", "1")[0] / 200)
        for name in shuffled(["shared", "nginx", "c-shared"]):
            with Server(name, 200) as server:
                yield dict(name=name, each=server.up / 200)

    def sizes(self):
        for workers in random.sample(MANY, len(MANY)):
            rows = {"ours": run(f"{OURS}/bench_sizes", str(workers), "3" if workers == max(MANY) else "0"),
                    "c": run(f"{BUILT}/many", str(workers))}
            for name, server in zip(rows, SIZES):
                with Server(server, workers) as many:
                    handed = self.use(many, "connections", at_once=64)["master"]
                yield dict(rows[name], name=name, workers=workers, handed=handed)

    def killed(self):
        for name in shuffled(KILLED):
            yield kill(name, "/", rate=500, at_once=256)
        for name in shuffled(SLOW):
            yield kill(name, "/slow", rate=slow(name), at_once=256)

    def reload(self):
        for name in shuffled(RELOAD):
            with Server(name, 2) as server:
                for loaded, options in RELOADED.items():
                    if can(name, loaded):
                        rate = {"rate": slow(name)} if "rate" in options else {}
                        yield reload(server, loaded, **dict(options, **rate))

    def memory(self):
        for name in shuffled(MEMORY):
            server = self.four[name]
            load(server.port, at_once=16, count=400)
            workers = children(server.pid)
            yield dict(name=name, worker=statistics.median(map(private, workers)))


def slow(name):
    """Requests a second that take 50 ms each: gunicorn's two workers serve one at a time."""
    return 25 if name == "gunicorn" else 400


def can(name, loaded):
    """nginx has nothing that takes a while, and gunicorn's workers keep no connection."""
    return not (name.startswith("nginx") and "slow" in loaded or name == "gunicorn" and loaded == "keep-alive")


def kill(name, path, **options):
    """Kills one of two workers under load: when its replacement answers, what it had in its hands,
    and what fails."""
    with Server(name, 2) as server:
        old = children(server.pid)
        process = load(server.port, background=True, path=path, seconds=1.2, **options)
        try:
            time.sleep(0.5)  # so that it is busy
            hands = held(old[0], server) if path == "/slow" else None
            killed = now()
            os.kill(old[0], signal.SIGKILL)
        finally:
            said = spoken(process)
    first = [w["first"] - killed for pid, w in said["workers"].items() if int(pid) not in old]
    failed = said["failed"]
    hang = failed.pop("hang", 0)
    answer = min(first, default=None)
    return dict(name=name, path=path, answer=answer, failed=sum(failed.values()), hang=hang, hands=hands)


def held(pid, server):
    """Stops a worker, and counts what it has accepted."""
    os.kill(pid, signal.SIGSTOP)
    server.until(lambda: is_stopped(pid), 0)
    return connections(pid, server.port)


def reload(server, loaded, **options):
    """A reload under load: what fails, and the slowest request."""
    old = set(children(server.pid))
    seconds = server.kind.reload_seconds
    process = load(server.port, background=True, seconds=seconds, **options)
    try:
        time.sleep(0.2)
        server.reload()
        server.until(lambda: not old & set(children(server.pid)), 0.01)
    finally:
        said = spoken(process)
    failed = said["failed"]
    new = [pid for pid in said["workers"] if int(pid) not in old]
    return dict(name=server.name, load=loaded, failed=sum(failed.values()), slowest=said["slowest"],
                requests=said["requests"], new=len(new), kinds=failed)


def nine_of_ten(values):
    """What nine of ten are not above."""
    return sorted(values)[len(values) * 9 // 10]


def lines(*command, **environment):
    """What a program says, a JSON value in each line."""
    done = subprocess.run(
        command, env=dict(os.environ, **environment), stdout=subprocess.PIPE, text=True, check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def run(*command):
    return lines(*command)[0]


MEASURES = ["connections", "keep_alive", "balance", "messages", "handoff", "start", "preload", "many", "sizes",
            "killed", "reload", "memory"]
# These take long, and are taken in the first rounds only.
LONG = ["preload", "many", "sizes", "killed", "reload"]
