#!/usr/bin/env python3
"""Makes the tables and plots of docs/benchmarks.md from docs/benchmarks/raw.json."""
import json
from pathlib import Path

from plot import plot
from rows import Rows, table, text
from targets import surplus, targets

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- made by bench/report.py -->", "<!-- end -->"
IMAGES = {"New connections": "connections.svg", "Keep-alive requests": "keep_alive.svg", "Messages": "messages.svg",
          "The hand-off alone": "handoff.svg", "From 2 to 500 workers": "sizes.svg"}


def tables(rows):
    """All tables after the first, each with its title."""
    yield "New connections", costs(rows["connections"], "connection")
    yield "Keep-alive requests", costs(rows["keep_alive"], "request")
    yield "One axum application", axum(rows["keep_alive"])
    yield "Balance over four workers: max/mean", balance(rows["balance"])
    yield "Messages", messages(rows["messages"])
    yield "The hand-off alone", handoff(rows["handoff"])
    yield "From fork to listening", simple(rows["start"], "milliseconds", "ms")
    yield "Workers that have 200 MB loaded", preload(rows["preload"])
    yield "200 workers up", simple(rows["many"], "each", "ms for each")
    yield "From 2 to 500 workers", sizes(rows["sizes"])
    yield "A worker is killed under load", killed(rows["killed"].of(path="/"))
    yield "A worker is killed that has requests in its hands", hands(rows["killed"].of(path="/slow"))
    yield "A reload under load", reloads(rows["reload"])
    yield "Private memory of a worker", simple(rows["memory"], "worker", "KiB", 0)


def costs(rows, unit):
    c = rows.of(name="c-shared")
    head = ["server", f"CPU of a {unit}, µs", "least–most", "× C shared", "of it in the master, µs", f"{unit}s/s",
            "failed"]
    return table(head, [
        [name, text(mine.median("all"), 1), mine.span("all", 1), text(mine.ratio(c, "all")),
         text(master(name, mine), 1), text(mine.median("rate"), 0), mine.failed()]
        for name, mine in rows.by_median("all")
    ])


def master(name, rows):
    """Servers with threads have no master."""
    return None if name in ("axum-alone", "actix", "go") else rows.median("master")


def axum(rows):
    alone = rows.of(name="axum-alone")
    return table(["", "CPU of a request, × alone", "requests/s, × alone"], [
        [name, text(mine.ratio(alone, "all")), text(mine.ratio(alone, "rate"))]
        for name, mine in rows.by_median("all") if name.startswith("axum-")
    ])


def balance(rows):
    head = rows.values("place")
    return table(["server", *head, "worst of all", "failed"], [
        [name, *(text(mine.of(place=place).median("worst")) for place in head), text(mine.most("worst")), mine.failed()]
        for name, mine in rows.each()
    ])


def messages(rows):
    kinds = {"one_by_one": "there and back/s", "many": "64 on the way/s", "one_way": "one way/s"}
    c = rows.of(name="c")
    return table(["", *(part for kind in kinds.values() for part in (kind, "× C"))], [
        [name, *(part for kind in kinds for part in (text(mine.median(kind), 0), text(mine.ratio(c, kind))))]
        for name, mine in rows.each()
    ])


def handoff(rows):
    c = rows.of(name="stream-1-json40")
    return table(["", "connections/s", "× stream-1-json40", "sender's CPU, µs"], [
        [name, text(mine.median("rate"), 0), text(mine.ratio(c, "rate")), text(mine.median("sender"))]
        for name, mine in rows.each()
    ])


def preload(rows):
    head = ["", "one more goes on after, ms", "9 of 10 within", "it listens", "the second of two goes on",
            "all four are back", "memory (PSS) of four, MB", "of mold and spare"]
    keys = {"next": 2, "slow": 2, "listening": 1, "second": 1, "burst": 1, "memory": 0, "molds": 0}
    return table(head, [
        [name, *(text(mine.median(key), digits) for key, digits in keys.items())] for name, mine in rows.each()
    ])


def sizes(rows):
    head = ["workers", "a connection, µs", "C, µs", "× C", "a message there and back, µs", "C, µs", "× C",
            "a death and a replacement, µs"]
    lines = []
    for workers, here in sorted(rows.each("workers")):
        ours, c = here.of(name="ours"), here.of(name="c")
        pairs = (part for key in ("handed", "message")
                 for part in (text(ours.median(key), 1), text(c.median(key), 1), text(ours.ratio(c, key))))
        lines.append([workers, *pairs, text(ours.median("death"), 0)])
    return table(head, lines)


def killed(rows):
    head = ["server", "first answer of the replacement, ms", "slowest", "failed, median", "most", "hang, all rounds"]
    return table(head, [
        [name, text(mine.median("answer"), 1), text(mine.most("answer"), 1), text(mine.median("failed"), 0),
         mine.most("failed"), mine.sum("hang")]
        for name, mine in rows.by_median("failed")
    ])


def hands(rows):
    head = ["server", "first answer of the replacement, ms", "in its hands, median", "failed, median", "most",
            "failed besides, all rounds", "hang, all rounds"]
    return table(head, [
        [name, text(mine.median("answer"), 1), text(mine.median("hands"), 0), text(mine.median("failed"), 0),
         mine.most("failed"), surplus(mine), mine.sum("hang")]
        for name, mine in rows.each()
    ])


def reloads(rows):
    head = ["server", "load", "requests, median", "failed, all rounds", "slowest request, ms: median", "most"]
    return table(head, [
        [name, load, text(mine.median("requests"), 0), mine.sum("failed"), text(mine.median("slowest"), 0),
         text(mine.most("slowest"), 0)]
        for load, here in rows.each("load") for name, mine in here.by_median("slowest")
    ])


def simple(rows, key, unit, digits=2):
    return table(["", unit, "least–most"], [
        [name, text(mine.median(key), digits), mine.span(key, digits)] for name, mine in rows.by_median(key)
    ])


def plots(rows):
    """File, title and bars of each."""
    for measure, title in (("connections", "CPU of a new connection, × C shared"),
                           ("keep_alive", "CPU of a keep-alive request, × C shared")):
        mine = rows[measure]
        c = mine.of(name="c-shared")
        yield f"{measure}.svg", title, [(name, one.ratio(c, "all")) for name, one in mine.by_median("all")]
    mine = rows["messages"]
    bars = [(f"{name}, {kind.replace('_', ' ')}", mine.of(name=name).ratio(mine.of(name="c"), kind))
            for kind in ("one_by_one", "many", "one_way") for name in ("ours", "node")]
    yield "messages.svg", "Messages for each second, × C (more is better)", bars
    mine = rows["handoff"]
    c = mine.of(name="stream-1-json40")
    bars = [(name, one.ratio(c, "rate")) for name, one in mine.each()]
    yield "handoff.svg", "Hand-offs for each second, × C stream-1-json40 (more is better)", bars
    mine = rows["sizes"]
    few = mine.of(name="c", workers=2)
    bars = [(f"{name}, {workers} workers", mine.of(name=name, workers=workers).ratio(few, "handed"))
            for workers in sorted(mine.values("workers")) for name in ("ours", "c")]
    yield "sizes.svg", "The master's CPU for a connection, × C with 2 workers", bars


def write(folder):
    results = json.loads((folder / "raw.json").read_text())
    about = results["about"]
    rows = {name: Rows(taken) for name, taken in results["rows"].items()}
    images = {}
    for name, title, bars in plots(rows):
        if any(value for _, value in bars):
            plot(folder / name, title, [bar for bar in bars if bar[1]])
            images[name] = f"![{title}](benchmarks/{name})\n"
    first = table(["what", "measured", "target", "met"], list(targets(rows)))
    parts = [introduction(about), "## Targets\n", first]
    for title, content in tables(rows):
        if content.count("\n") < 3:
            continue  # nobody measured it
        image = images.get(IMAGES.get(title))
        parts += [f"## {title}\n", content] + ([image] if image else [])
    made = "\n".join(parts)
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
