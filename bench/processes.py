"""What /proc says about processes."""
import os
import re
import time
from pathlib import Path


def now():
    """Milliseconds of the monotonic clock."""
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1e3


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
    """Microseconds of CPU so far."""
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


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def connections(pid, port):
    """How many connections to this port a process has accepted and not closed."""
    theirs = {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()}
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = fields = line.split()
        is_open = state in ("01", "08")  # established; closed by the client only
        count += is_open and int(local.split(":")[1], 16) == port and f"socket:[{fields[9]}]" in theirs
    return count
