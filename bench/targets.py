"""What was to be reached, and whether it was."""
from statistics import median

from rows import text

POLICIES = ("shared", "round-robin", "reuse-port")


def target(what, value, bound, at_least=False, digits=2):
    """A row of the table."""
    if value is None:
        return [what, "–", "–", "not measured"]
    value = round(value, digits)
    met = value >= bound if at_least else value <= bound
    sign = "≥" if at_least else "≤"
    return [what, text(value, digits), f"{sign} {bound:g}", "yes" if met else "**no**"]


def targets(rows):
    yield from of_connections(rows["connections"])
    yield from of_requests(rows["keep_alive"])
    yield from of_balance(rows["balance"])
    yield from of_pieces(rows["messages"], rows["handoff"])
    yield from of_starts(rows)
    yield from of_sizes(rows["sizes"])
    yield from of_deaths(rows["killed"])
    yield from of_reloads(rows["reload"])
    yield from of_memory(rows["memory"])


def of_connections(rows):
    shared, handed, own = (rows.of(name=name) for name in POLICIES)
    yield target("CPU of a new connection, `Shared`, × C", shared.ratio(rows.of(name="c-shared"), "all"), 1.05)
    yield target("the same, `RoundRobin`, × C handing over", handed.ratio(rows.of(name="c-rr"), "all"), 1.1)
    yield target("the same, `ReusePort`, × C", own.ratio(rows.of(name="c-reuseport"), "all"), 1.05)
    batch, node = rows.of(name="c-rr-batch"), rows.of(name="node-rr")
    yield target("of it in the master, × C in batches", handed.ratio(batch, "master"), 1.2)
    yield target("of it in the master, × Node", handed.ratio(node, "master"), 0.167, digits=3)
    for peer in ("nginx", "axum-alone", "actix", "go", "gunicorn"):
        value = shared.ratio(rows.of(name=peer), "all")
        yield target(f"CPU of a new connection, `Shared`, × {peer}", value, 1)


def of_requests(rows):
    c, shared = rows.of(name="c-shared"), rows.of(name="shared")
    yield target("keep-alive requests for a second of CPU, × C", c.ratio(shared, "all"), 0.95, True)
    yield target("keep-alive requests/s, × C", shared.ratio(c, "rate"), 0.95, True)
    for peer in ("nginx", "actix", "go"):
        value = shared.ratio(rows.of(name=peer), "all")
        yield target(f"CPU of a keep-alive request, `Shared`, × {peer}", value, 1)
    alone = rows.of(name="axum-alone")
    for policy in POLICIES:
        mine = rows.of(name=f"axum-{policy}")
        what = f"axum under `{policy}`, × one process with threads: requests"
        yield target(f"{what} for a second of CPU", alone.ratio(mine, "all"), 1, True)
        yield target(f"{what}/s", mine.ratio(alone, "rate"), 1, True)


def of_balance(rows):
    for name, usual, burst in (("shared", 1.06, 1.25), ("round-robin", 1.0, 1.0), ("reuse-port", 1.12, 1.12)):
        mine = rows.of(name=name)
        usually = [here.median("worst") for place, here in mine.each("place") if "burst" not in place]
        yield target(f"balance, `{name}`: max/mean, the worst but a burst", max(usually, default=None), usual)
        yield target(f"balance, `{name}`: max/mean in a burst", mine.of(place="256 held, burst").median("worst"), burst)


def of_pieces(messages, handoff):
    ours, c = messages.of(name="ours"), messages.of(name="c")
    yield target("messages there and back, × C", ours.ratio(c, "one_by_one"), 0.9, True)
    yield target("the same, 64 on the way, × C", ours.ratio(c, "many"), 0.8, True)
    yield target("messages one way, × C", ours.ratio(c, "one_way"), 0.8, True)
    c = handoff.of(name="stream-1-json40")
    yield target("the hand-off alone, × C", handoff.of(name="ours").ratio(c, "rate"), 0.5, True)


def of_starts(rows):
    start, copies = rows["start"], rows["preload"].of(name="preloaded")
    program = start.of(name="program")
    value = start.of(name="ours").ratio(program, "milliseconds")
    yield target("`fork` to listening, × start of a small program", value, 3)
    yield target("200 workers up: ms for each", rows["many"].of(name="ours").median("each"), 3)
    yield target("a copy that has 200 MB loaded goes on after: ms", copies.median("next"), 1)


def of_sizes(rows):
    """What grows for C as well is the kernel's: so many processes to wake."""
    ours = rows.of(name="ours")
    many, few = (ours.of(workers=workers) for workers in (500, 2))
    yield target("the master's CPU for a connection, from 2 to 500 workers: growth, × C's", growth(rows, "handed"), 1.2)
    yield target("the same for a message there and back", growth(rows, "message"), 1.2)
    yield target("the same for a death and a replacement: growth", many.ratio(few, "death"), 1.5)
    idle = many.median("idle")
    yield target("CPU of an idle master of 500 in 3 s: ms", idle and idle / 1e3, 1)


def growth(rows, key):
    """From 2 to 500 workers, of that of C: the median of the rounds."""
    found = []
    for _, taken in rows.each("round"):
        def grown(name):
            return taken.of(name=name, workers=500).ratio(taken.of(name=name, workers=2), key)
        found.append(grown("ours") / grown("c"))
    return median(found) if found else None


def of_deaths(rows):
    slow = rows.of(path="/slow")
    for name in POLICIES:
        value = rows.of(name=name, path="/").median("answer")
        yield target(f"a killed worker's replacement answers, `{name}`: ms", value, 10, digits=1)
    for name in POLICIES:
        value = surplus(slow.of(name=name))
        yield target(f"slow requests that fail besides those in a killed worker's hands, `{name}`", value, 0, digits=0)
    ours = [rows.of(name=name).sum("hang") for name in POLICIES]
    hang = None if None in ours else sum(ours)
    yield target("requests that hang after a kill, all rounds and policies", hang, 0, digits=0)


def surplus(rows):
    """How many failed besides those in hands, in all rounds."""
    values = [max(0, row["failed"] - row["hands"]) for row in rows.rows]
    return sum(values) if values else None


def of_reloads(rows):
    for name in POLICIES:
        value = rows.of(name=name).sum("failed")
        yield target(f"requests that fail in reloads, `{name}`, all loads and rounds", value, 0, digits=0)


def of_memory(rows):
    for name in POLICIES:
        yield target(f"private memory of a worker, `{name}`: KiB", rows.of(name=name).median("worker"), 400, digits=0)
