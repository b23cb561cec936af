"""Patches of equal cells in a grid of characters."""

from __future__ import annotations

from problems.family import Argument, Family, Variant

CELLS = "#*ox@+%AX1BCGHKMQWZ2"
EMPTY = ".-_0~ "


class Islands(Family):
    name = "islands"
    summary = "count patches of a drawn cell by size, the largest patch with diagonals, shore length, lakes"
    functions = ("islands", "patches", "count_cells", "solve")
    arguments = (Argument("grid", "list[str]", ("rows", "lines")),)
    variants = (
        Variant(
            "count",
            "int",
            (
                (
                    "{grid} holds the rows of a map. How many patches of '{x}' with at least {k} cells are there? "
                    "Cells belong together if they touch side by side."
                ),
                "Count the groups of {k} or more '{x}' in {grid} that hang together horizontally or vertically.",
                (
                    "In the map {grid}, '{x}' cells that share an edge form an island. Return the number of "
                    "islands of {k} or more cells."
                ),
            ),
        ),
        Variant(
            "largest",
            "int",
            (
                (
                    "{grid} holds the rows of a map. How many cells has the largest patch of '{x}' and '{y}' "
                    "together? Cells also touch at corners."
                ),
                (
                    "Return the size of the largest group of '{x}' or '{y}' cells in {grid} that hang together, "
                    "diagonal contact included."
                ),
                (
                    "In the map {grid}, cells '{x}' and '{y}' that share an edge or a corner form an island. "
                    "Return the most cells of any island, 0 if there is none."
                ),
            ),
            level=2,
        ),
        Variant(
            "shore",
            "int",
            (
                (
                    "{grid} holds the rows of a map. How many sides of '{x}' cells border on another kind of cell "
                    "or on the edge of the map? An edge of the map counts {w}."
                ),
                (
                    "Return the length of all borders of '{x}' in {grid}: 1 for each side next to a different "
                    "cell, {w} for each side on the edge of the map."
                ),
                (
                    "Fence in the '{x}' cells of {grid}: a side towards another kind of cell costs 1, a side on "
                    "the border of the map {w}. Return the cost."
                ),
            ),
            level=3,
        ),
        Variant(
            "inner",
            "int",
            (
                (
                    "{grid} holds the rows of a map. How many patches of '{x}' (side by side) with at least {k} "
                    "cells do not touch the edge of the map?"
                ),
                (
                    "Count the groups of {k} or more '{x}' in {grid}, connected horizontally or vertically, that "
                    "have no cell in the first or last row or column."
                ),
                (
                    "In the map {grid}, '{x}' cells that share an edge form a lake. How many lakes of {k} or more "
                    "cells lie wholly inside?"
                ),
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        x, y = rng.sample(CELLS, 2)
        if variant == "largest":
            return {"x": x, "y": y}
        return (
            {"x": x, "w": rng.int(2, 60)}
            if variant == "shore"
            else {"x": x, "k": rng.int(2, 20 if difficulty > 6 else 9)}
        )

    def solve_count(self, p, grid):
        return sum([len(patch) >= p["k"] for patch in _patches(grid, p["x"])])

    def solve_largest(self, p, grid):
        return max([len(patch) for patch in _patches(grid, p["x"] + p["y"], diagonal=True)], default=0)

    def solve_shore(self, p, grid):
        height, width, total = len(grid), len(grid[0]) if grid else 0, 0
        for r, c in [(r, c) for r in range(height) for c in range(width) if grid[r][c] == p["x"]]:
            for i, j in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                inside = 0 <= i < height and 0 <= j < width
                total += (grid[i][j] != p["x"]) if inside else p["w"]
        return total

    def solve_inner(self, p, grid):
        height, width = len(grid), len(grid[0]) if grid else 0
        inner = [
            patch
            for patch in _patches(grid, p["x"])
            if len(patch) >= p["k"] and all([0 < r < height - 1 and 0 < c < width - 1 for r, c in patch])
        ]
        return len(inner)

    def edge_cases(self, rng, variant, p, difficulty):
        x, y, k = p["x"], p.get("y", p["x"]), p.get("k", 2)
        o = rng.pick([c for c in EMPTY if c not in (x, y)])
        yield ([],)
        yield ([x],)
        yield ([o],)
        yield ([x + o, o + x],)
        yield ([x + y + o, o + o + x, x + o + y],)
        if variant in ("count", "inner"):
            row, short = x * k, x * (k - 1) + o
            frame, side = o * (k + 2), o
            yield ([row, o * k, short],)
            yield ([frame, side + row + side, frame],)
            yield ([frame, side + short + side, frame],)
            yield ([frame, side + row + side, side + row + side, frame],)
            yield ([frame + o, side + row + side + x, frame + o],)
            yield ([o * (2 * k + 3), o + row + o + row + o, o * (2 * k + 3)],)
            yield ([x * (k + 1) + o, o * (k + 2), frame],)
            yield ([o * (k + 3), o + x * (k + 1) + o, o * (k + 3)],)
            corner = [o * 7, o + x * 2 + o * 4, o * 3 + x * 2 + o * 2, o * 7, o + x * 5 + o, o * 7]
            yield (corner,)
            yield ([o * (k + 4), o + x * (k - 1) + o + x + o * 2, o * k + x + o * 3, o * (k + 4)],)
            yield ([o * (k + 2), o + x * (k - 1) + o * 2, o + o * (k - 1) + x + o, o * (k + 2)],)
        else:
            yield ([x + o + x, o + x + o, x + o + y],)
            yield ([x + x, x + x],)
            yield ([o * 4, o + x + y + o, o * 4],)
            yield ([o * 5, o + x + x + o + y, o * 4 + y, o * 3 + y * 2],)
            yield ([x + o + o + y + y, o * 5, x + y + x + o + o],)
            yield ([o * 3, o + x + o, o * 3],)

    def sample(self, rng, variant, p, difficulty):
        x, y = p["x"], p.get("y", p["x"])
        o = rng.pick([c for c in EMPTY if c not in (x, y)])
        width = rng.int(3, 4 + difficulty) + (2 if variant == "inner" else 0)
        cells = (x + y + o) if variant == "largest" else x * (2 if p.get("k", 0) > 4 else 1) + o
        return ([rng.text(cells + o * (variant == "largest"), width) for _ in range(rng.int(3, 4 + difficulty))],)

    def write_count(self, p):
        x, k = repr(p["x"]), p["k"]
        return _programs(
            f"grid[i][j] == {x}",
            f"sum(len(t) >= {k} for t in parts)",
            [
                ("more_than", f"sum(len(t) > {k} for t in parts)", "asks for one more"),
                ("all", "len(parts)", "counts every patch"),
                ("exactly", f"sum(len(t) == {k} for t in parts)", "asks for just that size"),
                ("cells", f"sum(len(t) for t in parts if len(t) >= {k})", "counts cells"),
            ],
            diagonal_mutant=True,
        )

    def write_largest(self, p):
        x, y = repr(p["x"]), repr(p["y"])
        both = repr(p["x"] + p["y"])
        end = "max([len(t) for t in parts], default=0)"
        correct, mutants = _programs(
            f"grid[i][j] in {both}", end, [("count", "len(parts)", "counts the patches")], diagonal=True
        )
        mutants += [
            ("edges_only", _search(f"grid[i][j] in {both}", end, diagonal=False), "forgets contact at corners"),
            ("one_kind", _search(f"grid[i][j] == {x}", end, diagonal=True), "looks at one kind only"),
            ("other_kind", _search(f"grid[i][j] == {y}", end, diagonal=True), "looks at the other kind only"),
            ("total", f"return sum(row.count({x}) + row.count({y}) for row in grid)", "counts all cells"),
        ]
        return correct, mutants

    def write_shore(self, p):
        x, w = repr(p["x"]), p["w"]

        def shore(edge=w, other="1", near="(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)", x=x):
            return (
                f"d = {{(i, j): v for i, row in enumerate(grid) for j, v in enumerate(row)}}\nout = 0\n"
                f"for (i, j), v in d.items():\n    if v == {x}:\n        for q in ({near}):\n"
                f"            if q not in d:\n                out += {edge}\n            elif d[q] != {x}:\n"
                f"                out += {other}\nreturn out"
            )

        correct = [
            shore(),
            "out = 0\nfor rows in (grid, [''.join(c) for c in zip(*grid)]):\n    for row in rows:\n"
            f"        out += sum((a == {x}) != (b == {x}) for a, b in zip(row, row[1:]))\n"
            f"        out += {w} * ((row[0] == {x}) + (row[-1] == {x}))\nreturn out",
            (
                "out = 0\nfor i in range(len(grid)):\n    for j in range(len(grid[i])):\n"
                f"        if grid[i][j] == {x}:\n            for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1)):\n"
                "                r, c = i + a, j + b\n"
                "                if r < 0 or c < 0 or r == len(grid) or c == len(grid[i]):\n"
                f"                    out += {w}\n                else:\n"
                f"                    out += grid[r][c] != {x}\nreturn out"
            ),
        ]
        mutants = [
            ("edge_like_others", shore("1"), "counts an edge of the map once"),
            ("no_edge", shore("0"), "forgets the edge of the map"),
            ("edge_only", shore(other="0"), "forgets other cells"),
            ("other_factor", shore(w + 1), "has another factor"),
            ("cells", f"return 4 * sum(row.count({x}) for row in grid)", "counts inner sides too"),
        ]
        return correct, mutants

    def write_inner(self, p):
        x, k = repr(p["x"]), p["k"]
        inside = "all(0 < i < len(grid) - 1 and 0 < j < len(grid[0]) - 1 for i, j in t)"
        right = f"sum(len(t) >= {k} and {inside} for t in parts)"
        return _programs(
            f"grid[i][j] == {x}",
            right,
            [
                ("all", f"sum(len(t) >= {k} for t in parts)", "counts patches on the edge too"),
                ("any_size", f"sum({inside} for t in parts)", "counts small patches too"),
                ("more_than", f"sum(len(t) > {k} and {inside} for t in parts)", "asks for one more"),
                ("touching", f"sum(len(t) >= {k} and not {inside} for t in parts)", "counts patches on the edge only"),
            ],
        )


def _search(test, end, diagonal=False):
    near = "abs(a - i) < 2 and abs(b - j) < 2" if diagonal else "abs(a - i) + abs(b - j) == 1"
    return (
        f"left = {{(i, j) for i in range(len(grid)) for j in range(len(grid[i])) if {test}}}\nparts = []\n"
        "while left:\n    t = [left.pop()]\n    for a, b in t:\n"
        f"        new = [(i, j) for i, j in left if {near}]\n        left -= set(new)\n        t += new\n"
        f"    parts.append(t)\nreturn {end}"
    )


def _programs(test, right, mutants, diagonal=False, diagonal_mutant=False):
    steps = "for a in (-1, 0, 1) for b in (-1, 0, 1)" + ("" if diagonal else " if a * b == 0")
    cells = f"left = {{(i, j) for i in range(len(grid)) for j in range(len(grid[i])) if {test}}}\n"
    recursion = (
        (
            f"{cells}def go(i, j):\n    if (i, j) not in left:\n        return []\n    left.remove((i, j))\n"
            "    t = [(i, j)]\n"
        )
        + (
            "    for a in (-1, 0, 1):\n        for b in (-1, 0, 1):\n            t += go(i + a, j + b)\n"
            if diagonal
            else "    for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1)):\n        t += go(i + a, j + b)\n"
        )
        + f"    return t\nparts = [t for t in [go(i, j) for i, j in sorted(left)] if t]\nreturn {right}"
    )
    queue = (
        f"{cells}parts = []\nwhile left:\n    t = [left.pop()]\n    for i, j in t:\n"
        f"        for q in [(i + a, j + b) {steps}]:\n            if q in left:\n"
        f"                left.remove(q)\n                t.append(q)\n    parts.append(t)\nreturn {right}"
    )
    others = [(name, _search(test, end, diagonal), why) for name, end, why in mutants]
    if diagonal_mutant:
        others.append(("corners", _search(test, right, diagonal=True), "joins cells that touch at corners"))
    return [queue, _search(test, right, diagonal), recursion], others


def _patches(grid, kinds, diagonal=False):
    left = {(r, c) for r, row in enumerate(grid) for c, cell in enumerate(row) if cell in kinds}
    patches = []
    for cell in sorted(left):
        if cell not in left:
            continue
        left.remove(cell)
        patch = [cell]
        for r, c in patch:
            near = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
            if diagonal:
                near += [(r - 1, c - 1), (r - 1, c + 1), (r + 1, c - 1), (r + 1, c + 1)]
            for q in near:
                if q in left:
                    left.remove(q)
                    patch.append(q)
        patches.append(patch)
    return patches


FAMILY = Islands()
