"""What was measured, as a table for a terminal of 160 columns, and as JSON."""

import json
import statistics
import textwrap


class Figure:
    """One quantity, measured several times."""

    def __init__(self, values):
        self.values = sorted(values)
        self.median = statistics.median(values)

    def __str__(self):
        return f"{number(self.median)} ({number(self.values[0])}–{number(self.values[-1])})"

    def as_json(self):
        return {"median": self.median, "min": self.values[0], "max": self.values[-1],
                "rounds": len(self.values)}


def number(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if limit * 0.9995 <= abs(value):
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


class Row:
    """A figure beside its limit, or peer; `goal` is the ratio to reach, if there is one.

    A `beside` without a `limit` is a peer that is missing; without a `beside` the goal is the
    figure's own. `other`: a second Row of the same figure; one goal of the two is enough.
    """

    def __init__(self, name, unit, figure, beside="", limit=None, goal=None, extra="",
                 smaller_is_better=False, other=None):
        self.name, self.unit, self.figure = name, unit, figure
        self.beside, self.limit, self.goal, self.extra = beside, limit, goal, extra
        self.smaller_is_better, self.other = smaller_is_better, other

    @classmethod
    def at_most(cls, name, unit, figure, most):
        return cls(name, unit, figure, goal=most, smaller_is_better=True)

    @property
    def ratio(self):
        return None if self.limit is None else self.figure.median / self.limit.median

    @property
    def reached(self):
        """None if nobody can know."""
        if self.goal is None:
            return None
        if self.other and self.other.reached:
            return True
        value = self.ratio if self.beside else self.figure.median
        if value is None:
            return None
        return value <= self.goal if self.smaller_is_better else self.goal <= value

    def cells(self):
        missing = "-" if self.beside else ""
        ratio = missing
        if self.ratio is not None:
            ratio = f"{self.ratio:.3g}" if 0.001 <= self.ratio else f"{self.ratio:.1e}"
        goal = ""
        if self.goal is not None:
            goal = f"{'≤' if self.smaller_is_better else '≥'} {self.goal:g}"
        verdict = {None: missing if goal else "", True: "yes", False: "no"}[self.reached]
        beside = f"{self.beside}: {self.limit or missing}" if self.beside else ""
        return [self.name, f"{self.figure} {self.unit}", beside, ratio, goal, verdict]

    def notes(self):
        notes = [self.extra] if self.extra else []
        if self.other:
            _, _, beside, ratio, goal, _ = self.other.cells()
            notes.append(f"or {goal} of {beside}; it is {ratio}")
        return notes

    def as_json(self):
        return {"name": self.name, "unit": self.unit, "figure": self.figure.as_json(),
                "beside": self.beside, "limit": self.limit and self.limit.as_json(),
                "ratio": self.ratio, "goal": self.goal, "reached": self.reached,
                "extra": self.extra, "other": self.other and self.other.as_json()}


COLUMNS = [("workload", 46), ("median (min–max)", 28), ("limit or peer, same run", 46),
           ("ratio", 7), ("goal", 7), ("reached", 7)]


def table(rows):
    """The lines of a table of COLUMNS; a row's notes are lines of their own under it."""
    widths = [width for _, width in COLUMNS]
    whole = sum(widths) + 3 * (len(widths) - 1)

    def lines_of(cells):
        parts = [textwrap.wrap(cell, width) for cell, width in zip(cells, widths)]
        for i in range(max(1, *map(len, parts))):
            some = (part[i] if i < len(part) else "" for part in parts)
            line = " | ".join(cell.ljust(width) for cell, width in zip(some, widths))
            yield f"| {line} |"

    yield from lines_of([name for name, _ in COLUMNS])
    yield from lines_of(["-" * width for width in widths])
    for row in rows:
        yield from lines_of(row.cells())
        for note in row.notes():
            for line in textwrap.wrap(note, whole, initial_indent="    ",
                                      subsequent_indent="    "):
                yield f"| {line.ljust(whole)} |"


def write_json(path, rows, about):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"about": about, "rows": [row.as_json() for row in rows]}, file, indent=1)
        file.write("\n")
