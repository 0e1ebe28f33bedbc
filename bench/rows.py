"""The rows of one measure, and tables of them."""
from statistics import median


class Rows:
    """Rows, of which some can be picked."""

    def __init__(self, rows):
        self.rows = rows

    def of(self, **wanted):
        return Rows([row for row in self.rows if all(row[key] == value for key, value in wanted.items())])

    def names(self):
        return self.values("name")

    def values(self, key):
        """All that there are, in their order."""
        return list(dict.fromkeys(row[key] for row in self.rows))

    def each(self, key="name"):
        """Each value of it, and its rows."""
        return [(value, self.of(**{key: value})) for value in self.values(key)]

    def by_median(self, key):
        return sorted(self.each(), key=lambda one: one[1].median(key))

    def all(self, key):
        return [row[key] for row in self.rows if row[key] is not None]

    def median(self, key):
        values = self.all(key)
        return median(values) if values else None

    def most(self, key):
        return max(self.all(key), default=None)

    def sum(self, key):
        values = self.all(key)
        return sum(values) if values else None

    def span(self, key, digits):
        return f"{text(min(self.all(key)), digits)}–{text(max(self.all(key)), digits)}"

    def ratio(self, other, key):
        """The median of the ratios within each round."""
        theirs = {row["round"]: row[key] for row in other.rows}
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
