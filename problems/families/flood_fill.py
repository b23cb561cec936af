"""Grids of colours filled from a cell, or read off."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class FloodFill(Family):
    name = "flood_fill"
    summary = "fill an area with a drawn colour, with corners, with near colours, or mark its border"
    functions = ("flood_fill", "fill", "paint", "solve")
    arguments = (
        Argument("grid", "list[list[int]]", ("cells", "image")),
        Argument("row", "int", ("top",)),
        Argument("col", "int", ("left",)),
    )
    variants = (
        Variant(
            "fill",
            "list[list[int]]",
            (
                (
                    "Give the colour {c} to the cell ({row}, {col}) of {grid} and to all cells of the same colour "
                    "that hang together with it side by side. Return the grid."
                ),
                (
                    "Flood {grid} from ({row}, {col}): the connected area (up, down, left, right) of that cell's "
                    "colour becomes {c}. Return the new grid."
                ),
                (
                    "Return {grid} after painting with {c} the area of equal numbers around ({row}, {col}), "
                    "connected horizontally or vertically."
                ),
            ),
        ),
        Variant(
            "corners",
            "list[list[int]]",
            (
                (
                    "Give the colour {c} to the cell ({row}, {col}) of {grid} and to all cells of the same colour "
                    "that hang together with it, also over corners. Return the grid."
                ),
                (
                    "Flood {grid} from ({row}, {col}) in all eight directions: the connected area of that cell's "
                    "colour becomes {c}. Return the new grid."
                ),
                (
                    "Return {grid} after painting with {c} the area of equal numbers around ({row}, {col}), "
                    "diagonal contact included."
                ),
            ),
            level=2,
        ),
        Variant(
            "near",
            "int",
            (
                (
                    "From the cell ({row}, {col}) of {grid} one may step to a cell beside it (no diagonals) whose "
                    "number differs by at most {k}. How many cells can be reached, the first included?"
                ),
                (
                    "Count the cells of {grid} that can be reached from ({row}, {col}) by steps up, down, left or "
                    "right between numbers that differ by {k} or less."
                ),
                (
                    "Return the number of cells of {grid} within reach of ({row}, {col}), itself included, if "
                    "neighbours are joined when their numbers are at most {k} apart."
                ),
            ),
            level=3,
        ),
        Variant(
            "border",
            "list[list[int]]",
            (
                (
                    "Take the area of equal numbers around ({row}, {col}) of {grid}, connected side by side. Give "
                    "{c} to those of its cells that have a side on the grid's edge or next to another number. "
                    "Return the grid."
                ),
                (
                    "Return {grid} with only the border of the connected area (four directions) at ({row}, {col}) "
                    "painted {c}: cells at the grid's edge or beside a different number."
                ),
                (
                    "In {grid}, paint with {c} each cell of the area of ({row}, {col}) that does not have four "
                    "neighbours of the same number. Return the grid."
                ),
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        return {"k": rng.int(1, 99)} if variant == "near" else {"c": rng.int(-99, 999)}

    def solve_fill(self, p, grid, row, col):
        for r, c in _area(grid, row, col):
            grid[r][c] = p["c"]
        return grid

    def solve_corners(self, p, grid, row, col):
        for r, c in _area(grid, row, col, diagonal=True):
            grid[r][c] = p["c"]
        return grid

    def solve_near(self, p, grid, row, col):
        return len(_area(grid, row, col, step=p["k"]))

    def solve_border(self, p, grid, row, col):
        area = _area(grid, row, col)
        inside = set(area)
        for r, c in area:
            if any([q not in inside for q in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1))]):
                grid[r][c] = p["c"]
        return grid

    def edge_cases(self, rng, variant, p, difficulty):
        k, new = p.get("k", 0), p.get("c", 0)
        a, b = rng.sample([i for i in range(1000, 1099) if i != new], 2)
        if variant == "near":
            a = rng.int(100, 200)
            yield from (
                ([[a]], 0, 0),
                ([[a, a + k]], 0, 0),
                ([[a, a + k + 1]], 0, 0),
                ([[a, a - k, a - 2 * k]], 0, 0),
                ([[a, a - k - 1]], 0, 0),
            )
            yield from (([[a, a + 2 * k + 5], [a + 2 * k + 5, a]], 0, 0), ([[a, a + k, a + 2 * k + 1, a]], 0, 1))
            yield ([[a, a + 3 * k + 3, a], [a, a + 3 * k + 3, a + k], [a + k, a + 2 * k, a + k]], 0, 0)
            return
        yield from (
            ([[a]], 0, 0),
            ([[a, b], [b, a]], 0, 0),
            ([[a, b, a], [a, b, a]], 0, 2),
            ([[new, a], [a, new]], 0, 0),
            ([[a, a], [b, a]], 1, 1),
        )
        yield from (
            ([[b, a, b], [a, a, a], [b, a, b]], 1, 1),
            ([[new, new, a], [a, new, new]], 1, 1),
            ([[a, new, a]], 0, 0),
        )
        yield ([[a] * 4 for _ in range(4)], 2, 1)
        yield ([[a, a, a, b], [a, b, a, a], [a, a, a, a], [b, a, a, a], [a, b, a, a]], 2, 2)
        yield ([[b] * 5, [b, a, a, a, b], [b, a, a, a, b], [b, a, a, a, a], [b] * 5], 1, 1)

    def sample(self, rng, variant, p, difficulty):
        height, width = rng.int(2, 3 + difficulty // 2), rng.int(2, 3 + difficulty // 2)
        if variant == "near":
            grid = [rng.ints(width, 0, 3 * p["k"]) for _ in range(height)]
        else:
            colours = rng.ints(2, 0, 9)
            grid = [rng.picks([*colours, colours[0]], width) for _ in range(height)]
        return (grid, rng.int(0, height - 1), rng.int(0, width - 1))

    def write_fill(self, p):
        paint = f"for i, j in t:\n    grid[i][j] = {p['c']}\nreturn grid"
        correct = _ways("grid[i][j] == v", paint)
        mutants = [
            ("corners", _walk("grid[i][j] == v", paint, diagonal=True), "goes over corners"),
            (
                "everywhere",
                f"v = grid[row][col]\nreturn [[{p['c']} if x == v else x for x in r] for r in grid]",
                "paints every cell of that colour",
            ),
            ("start_only", f"grid[row][col] = {p['c']}\nreturn grid", "paints the first cell only"),
            (
                "other_colour",
                _walk("grid[i][j] == v", paint.replace(str(p["c"]), str(p["c"] + 1))),
                "has another colour",
            ),
            ("count", _walk("grid[i][j] == v", "return len(t)"), "counts the cells"),
        ]
        return correct, mutants

    def write_corners(self, p):
        paint = f"for i, j in t:\n    grid[i][j] = {p['c']}\nreturn grid"
        correct = _ways("grid[i][j] == v", paint, diagonal=True)
        mutants = [
            ("sides_only", _walk("grid[i][j] == v", paint), "does not go over corners"),
            (
                "everywhere",
                f"v = grid[row][col]\nreturn [[{p['c']} if x == v else x for x in r] for r in grid]",
                "paints every cell of that colour",
            ),
            ("start_only", f"grid[row][col] = {p['c']}\nreturn grid", "paints the first cell only"),
            (
                "other_colour",
                _walk("grid[i][j] == v", paint.replace(str(p["c"]), str(p["c"] + 1)), diagonal=True),
                "has another colour",
            ),
        ]
        return correct, mutants

    def write_near(self, p):
        k = p["k"]
        test, end = f"abs(grid[i][j] - grid[a][b]) <= {k}", "return len(t)"
        correct = _ways(test, end)
        mutants = [
            ("strict", _walk(f"abs(grid[i][j] - grid[a][b]) < {k}", end), "forbids a difference of just that size"),
            ("from_start", _walk(f"abs(grid[i][j] - v) <= {k}", end), "compares with the first cell"),
            ("corners", _walk(test, end, diagonal=True), "goes over corners"),
            ("upwards", _walk(f"0 <= grid[i][j] - grid[a][b] <= {k}", end), "only climbs"),
            ("without_first", _walk(test, "return len(t) - 1"), "does not count the first cell"),
        ]
        return correct, mutants

    def write_border(self, p):
        c = p["c"]

        def border(test="len([1 for a, b in t if abs(a - i) + abs(b - j) == 1]) < 4"):
            return f"for i, j in t:\n    if {test}:\n        grid[i][j] = {c}\nreturn grid"

        correct = _ways("grid[i][j] == v", border())
        mutants = [
            (
                "fill",
                _walk("grid[i][j] == v", f"for i, j in t:\n    grid[i][j] = {c}\nreturn grid"),
                "paints the whole area",
            ),
            (
                "edge_only",
                _walk("grid[i][j] == v", border("i in (0, len(grid) - 1) or j in (0, len(grid[0]) - 1)")),
                "paints at the grid's edge only",
            ),
            (
                "inside",
                _walk("grid[i][j] == v", border("len([1 for a, b in t if abs(a - i) + abs(b - j) == 1]) == 4")),
                "paints the inside",
            ),
            ("corners", _walk("grid[i][j] == v", border(), diagonal=True), "goes over corners"),
            (
                "other_colour",
                _walk("grid[i][j] == v", border().replace(f"= {c}\n", f"= {c + 1}\n")),
                "has another colour",
            ),
        ]
        return correct, mutants


def _walk(test, end, diagonal=False):
    steps = "-1, 0, 1"
    near = (
        f"[(a + x, b + y) for x in ({steps}) for y in ({steps})]"
        if diagonal
        else "[(a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)]"
    )
    return (
        f"v, t = grid[row][col], [(row, col)]\nfor a, b in t:\n    for i, j in {near}:\n"
        f"        if 0 <= i < len(grid) and 0 <= j < len(grid[0]) and (i, j) not in t and {test}:\n"
        f"            t.append((i, j))\n{end}"
    )


def _ways(test, end, diagonal=False):
    near = "max(abs(a - i), abs(b - j)) == 1" if diagonal else "abs(a - i) + abs(b - j) == 1"
    growing = (
        "v, t = grid[row][col], {(row, col)}\nn = 0\nwhile n < len(t):\n    n = len(t)\n"
        "    t |= {(i, j) for a, b in t for i in range(len(grid)) for j in range(len(grid[0])) "
        f"if {near} and {test}}}\n{end}"
    )
    steps = "[(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]" if diagonal else "[(1, 0), (-1, 0), (0, 1), (0, -1)]"
    recursion = (
        f"v, t = grid[row][col], []\ndef go(a, b):\n    t.append((a, b))\n    for x, y in {steps}:\n"
        "        i, j = a + x, b + y\n"
        f"        if 0 <= i < len(grid) and 0 <= j < len(grid[0]) and (i, j) not in t and {test}:\n"
        f"            go(i, j)\ngo(row, col)\n{end}"
    )
    return [_walk(test, end, diagonal), growing, recursion]


def _area(grid, row, col, step=0, diagonal=False):
    seen, todo = {(row, col)}, [(row, col)]
    for a, b in todo:
        near = [(a - 1, b), (a + 1, b), (a, b - 1), (a, b + 1)]
        if diagonal:
            near += [(a - 1, b - 1), (a - 1, b + 1), (a + 1, b - 1), (a + 1, b + 1)]
        for q in near:
            i, j = q
            if 0 <= i < len(grid) and 0 <= j < len(grid[0]) and q not in seen and abs(grid[i][j] - grid[a][b]) <= step:
                seen.add(q)
                todo.append(q)
    return todo


FAMILY = FloodFill()
