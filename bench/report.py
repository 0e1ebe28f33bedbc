#!/usr/bin/env python3
"""Makes the tables and plots of docs/benchmarks.md from docs/benchmarks/raw.json."""
import json
from pathlib import Path
from statistics import median

from plot import plot

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- made by bench/report.py -->", "<!-- end -->"


class Rows:
    """The rows of one measure, of which some can be picked."""

    def __init__(self, rows):
        self.rows = rows

    def of(self, **wanted):
        return Rows([row for row in self.rows if all(row[key] == value for key, value in wanted.items())])

    def names(self):
        return list(dict.fromkeys(row["name"] for row in self.rows))

    def all(self, key):
        return [row[key] for row in self.rows if row[key] is not None]

    def median(self, key):
        values = self.all(key)
        return median(values) if values else None

    def ratio(self, other, key, other_key=None):
        """The median of the ratios within each round."""
        theirs = {row["round"]: row[other_key or key] for row in other.rows}
        pairs = [(row[key], theirs.get(row["round"])) for row in self.rows]
        ratios = [mine / reference for mine, reference in pairs if mine is not None and reference]
        return median(ratios) if ratios else None

    def failed(self):
        return sum(sum(row["failed"].values()) for row in self.rows)


def text(value, digits=2):
    return "–" if value is None else f"{value:,.{digits}f}"


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def target(what, value, bound, at_least=False, digits=2):
    """A row of the first table."""
    if value is None:
        return [what, "–", "–", "not measured"]
    value = round(value, digits)
    met = value >= bound if at_least else value <= bound
    sign = "≥" if at_least else "≤"
    return [what, text(value, digits), f"{sign} {bound:g}", "yes" if met else "**no**"]


def targets(all_rows):
    rows = {name: Rows(rows) for name, rows in all_rows.items()}
    yield from of_connections(rows["connections"], rows["keep_alive"])
    yield from of_balance(rows["balance"])
    yield from of_pieces(rows["messages"], rows["handoff"])
    yield from of_life(rows)


def of_connections(new, kept):
    shared, handed = new.of(name="shared"), new.of(name="round-robin")
    yield target("CPU of a new connection, `Shared`, × C", shared.ratio(new.of(name="c-shared"), "all"), 1.05)
    yield target("the same, `RoundRobin`, × C handing over", handed.ratio(new.of(name="c-rr"), "all"), 1.1)
    batch, node = new.of(name="c-rr-batch"), new.of(name="node-rr")
    yield target("of it in the master, × C in batches", handed.ratio(batch, "master"), 1.2)
    yield target("of it in the master, × Node", handed.ratio(node, "master"), 0.167, digits=3)
    c = kept.of(name="c-shared")
    yield target("keep-alive requests for a second of CPU, × C", c.ratio(kept.of(name="shared"), "all"), 0.95, True)
    yield target("keep-alive requests/s, × C", kept.of(name="shared").ratio(c, "rate"), 0.95, True)


def of_balance(rows):
    for name, usual, burst in (("shared", 1.06, 1.25), ("round-robin", 1.0, 1.0)):
        mine = rows.of(name=name)
        worst = max(
            (mine.of(place=place).median("worst") for place in places(mine) if "burst" not in place),
            default=None,
        )
        yield target(f"balance, `{name}`: max/mean, the worst but a burst", worst, usual)
        yield target(f"balance, `{name}`: max/mean in a burst", mine.of(place="256 held, burst").median("worst"), burst)


def places(rows):
    return list(dict.fromkeys(row["place"] for row in rows.rows))


def of_pieces(messages, handoff):
    ours, c = messages.of(name="ours"), messages.of(name="c")
    yield target("messages there and back, × C", ours.ratio(c, "one_by_one"), 0.9, True)
    yield target("the same, 64 on the way, × C", ours.ratio(c, "many"), 0.8, True)
    yield target("messages one way, × C", ours.ratio(c, "one_way"), 0.8, True)
    c = handoff.of(name="stream-1-json40")
    yield target("the hand-off alone, × C", handoff.of(name="ours").ratio(c, "rate"), 0.5, True)


def of_life(rows):
    start, many, killed = rows["start"], rows["many"], rows["killed"]
    program = start.of(name="program")
    yield target("`fork` to listening, × start of a small program", start.of(name="ours").ratio(program, "milliseconds"), 3)
    yield target("200 workers up: ms for each", many.of(name="ours").median("each"), 3)
    for name in ("shared", "round-robin"):
        mine = killed.of(name=name, path="/")
        yield target(f"a killed worker's replacement answers, `{name}`: ms", mine.median("answer"), 10, digits=1)
    slow = [row for row in killed.rows if row["path"] == "/slow" and row["name"] != "node-rr"]
    yield target("slow requests that hang after a kill, all rounds", sum(row["hang"] for row in slow) if slow else None, 0, digits=0)
    yield target("private memory of a worker, `shared`: KiB", rows["memory"].of(name="shared").median("worker"), 400, digits=0)


def tables(rows):
    """All tables after the first, each with its title."""
    r = {name: Rows(rows) for name, rows in rows.items()}
    yield "New connections", costs(r["connections"], "connection")
    yield "Keep-alive requests", costs(r["keep_alive"], "request")
    balance = r["balance"]
    head = places(balance)
    yield "Balance over four workers: max/mean", table(["server", *head, "worst of all", "failed"], [
        [name, *(text(mine.of(place=place).median("worst")) for place in head), text(max(mine.all("worst"))), mine.failed()]
        for name in balance.names() for mine in [balance.of(name=name)]
    ])
    kinds = {"one_by_one": "there and back/s", "many": "64 on the way/s", "one_way": "one way/s"}
    c = r["messages"].of(name="c")
    yield "Messages", table(["", *(part for kind in kinds.values() for part in (kind, "× C"))], [
        [name, *(part for kind in kinds for part in (text(mine.median(kind), 0), text(mine.ratio(c, kind))))]
        for name in r["messages"].names() for mine in [r["messages"].of(name=name)]
    ])
    c = r["handoff"].of(name="stream-1-json40")
    yield "The hand-off alone", table(["", "connections/s", "× stream-1-json40", "sender's CPU, µs"], [
        [name, text(mine.median("rate"), 0), text(mine.ratio(c, "rate")), text(mine.median("sender"))]
        for name in r["handoff"].names() for mine in [r["handoff"].of(name=name)]
    ])
    yield "From fork to listening", simple(r["start"], "milliseconds", "ms")
    yield "200 workers up", simple(r["many"], "each", "ms for each")
    killed = r["killed"]
    head = ["server", "asked for", "first answer of the replacement, ms", "slowest", "failed, median", "most", "hang, all rounds"]
    yield "A worker is killed under load", table(head, [
        [name, f"`{path}`", text(mine.median("answer"), 1), text(max(mine.all("answer"), default=None), 1),
         text(mine.median("failed"), 0), max(mine.all("failed")), sum(mine.all("hang"))]
        for path in ("/", "/slow") for name in killed.of(path=path).names() for mine in [killed.of(name=name, path=path)]
    ])
    yield "Private memory of a worker", simple(r["memory"], "worker", "KiB", 0)


def by_median(rows, key):
    return sorted(rows.names(), key=lambda name: rows.of(name=name).median(key))


def costs(rows, unit):
    c = rows.of(name="c-shared")
    head = ["server", f"CPU of a {unit}, µs", "least–most", "× C shared", "of it in the master, µs", f"{unit}s/s", "failed"]
    lines = []
    for name in by_median(rows, "all"):
        mine = rows.of(name=name)
        span = f"{text(min(mine.all('all')), 1)}–{text(max(mine.all('all')), 1)}"
        lines.append([name, text(mine.median("all"), 1), span, text(mine.ratio(c, "all")),
                      text(mine.median("master"), 1), text(mine.median("rate"), 0), mine.failed()])
    return table(head, lines)


def simple(rows, key, unit, digits=2):
    return table(["", unit, "least–most"], [
        [name, text(mine.median(key), digits), f"{text(min(mine.all(key)), digits)}–{text(max(mine.all(key)), digits)}"]
        for name in by_median(rows, key) for mine in [rows.of(name=name)]
    ])


def plots(rows):
    """File, title and bars of each."""
    for measure, title in (("connections", "CPU of a new connection, × C shared"),
                           ("keep_alive", "CPU of a keep-alive request, × C shared")):
        mine = Rows(rows[measure])
        c = mine.of(name="c-shared")
        yield f"{measure}.svg", title, [(name, mine.of(name=name).ratio(c, "all")) for name in by_median(mine, "all")]
    mine = Rows(rows["messages"])
    bars = [(f"{name}, {kind.replace('_', ' ')}", mine.of(name=name).ratio(mine.of(name="c"), kind))
            for kind in ("one_by_one", "many", "one_way") for name in ("ours", "node")]
    yield "messages.svg", "Messages for each second, × C (more is better)", bars
    mine = Rows(rows["handoff"])
    c = mine.of(name="stream-1-json40")
    bars = [(name, mine.of(name=name).ratio(c, "rate")) for name in mine.names()]
    yield "handoff.svg", "Hand-offs for each second, × C stream-1-json40 (more is better)", bars


def write(folder):
    results = json.loads((folder / "raw.json").read_text())
    about, rows = results["about"], results["rows"]
    first = table(["what", "measured", "target", "met"], list(targets(rows)))
    images = {}
    for name, title, bars in plots(rows):
        if any(value for _, value in bars):
            plot(folder / name, title, [bar for bar in bars if bar[1]])
            images[name] = f"![{title}](benchmarks/{name})"
    titles = {"New connections": "connections.svg", "Keep-alive requests": "keep_alive.svg",
              "Messages": "messages.svg", "The hand-off alone": "handoff.svg"}
    parts = [introduction(about), "## Targets", first]
    for title, content in tables(rows):
        if content.count("\n") < 3:
            continue  # nobody measured it
        image = images.get(titles.get(title))
        parts += [f"## {title}", content] + ([image + "\n"] if image else [])
    made = "\n".join(f"{part}\n" if part.startswith("#") else part for part in parts)
    page = ROOT / "docs/benchmarks.md"
    if folder.resolve() != page.with_suffix("").resolve():
        return print(made)
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{rest.split(END)[1]}")


def introduction(about):
    load, versions = about["load"], ", ".join(about["versions"])
    return (
        f"{about['date']}: {about['processor']}, {about['cpus']} CPUs, Linux {about['linux']}; {versions}.\n"
        f"{about['rounds']} rounds, {about['seconds']:g} s under load each. Load of the machine:"
        f" {load['before']} before, {load['after']} after (the measures' own load counts in the latter).\n"
    )


if __name__ == "__main__":
    write(ROOT / "docs/benchmarks")
