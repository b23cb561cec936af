"""A robot that follows a string of drawn commands."""

from __future__ import annotations

from problems.family import Argument, Family, Variant

COMMANDS = "FLRBUDAXGHJKWESN"


class Robot(Family):
    name = "robot"
    summary = "simulate moves: turns and steps, walls round a field, visited cells, first return"
    functions = ("robot", "walk", "follow", "solve")
    arguments = (Argument("moves", "str", ("commands", "steps")),)
    variants = (
        Variant(
            "position",
            "list[int]",
            (
                (
                    "A robot at (0, 0) faces up (y grows). In {moves}, '{f}' is a step of {k} ahead, '{l}' a turn "
                    "to the left, '{r}' to the right. Return its final [x, y]."
                ),
                (
                    "Starting at [0, 0] and facing +y, obey {moves}: '{f}' goes forward {k}, '{l}' turns left by "
                    "90 degrees, '{r}' turns right. Where does it end? Return [x, y]."
                ),
                (
                    "Return the end [x, y] of a walk from [0, 0], first direction up (+y): '{l}' and '{r}' in "
                    "{moves} turn left and right, '{f}' advances {k}."
                ),
            ),
        ),
        Variant(
            "field",
            "list[int]",
            (
                (
                    "A robot walks on a field with 0 <= x, y <= {m}, from (0, 0). In {moves}, '{f}' is up (y + 1), "
                    "'{b}' down, '{l}' left (x - 1), '{r}' right. Moves that leave the field are skipped. Return "
                    "its final [x, y]."
                ),
                (
                    "Starting at [0, 0], obey {moves} ('{f}': y + 1, '{b}': y - 1, '{l}': x - 1, '{r}': x + 1), "
                    "ignoring each move that would take x or y below 0 or above {m}. Return [x, y]."
                ),
                (
                    "Return the end [x, y] of a walk from [0, 0] inside the square 0 to {m}: '{f}', '{b}', '{l}', "
                    "'{r}' in {moves} mean up, down, left, right; a move against the edge has no effect."
                ),
            ),
            level=2,
        ),
        Variant(
            "visited",
            "int",
            (
                (
                    "A robot at (0, 0) moves by one: in {moves}, '{f}' is up, '{b}' down, '{l}' left, '{r}' right. "
                    "How many different places does it visit at least {k} times? The start counts as a visit."
                ),
                (
                    "Count the cells that a walk from the origin enters {k} times or more, its start included: "
                    "'{f}', '{b}', '{l}', '{r}' in {moves} mean up, down, left, right."
                ),
                (
                    "Return the number of places seen {k} or more times on the walk {moves} ('{f}' up, '{b}' down, "
                    "'{l}' left, '{r}' right) that begins at the origin, which is seen once at the start."
                ),
            ),
            level=3,
        ),
        Variant(
            "home",
            "int",
            (
                (
                    "A robot at (0, 0) moves by one: in {moves}, '{f}' is up, '{b}' down, '{l}' left, '{r}' right. "
                    "After how many moves is it first back at the start? Return {v} if never."
                ),
                (
                    "Walk from the origin by {moves} ('{f}' up, '{b}' down, '{l}' left, '{r}' right). Return the "
                    "number of moves until the first return to the origin, or {v}."
                ),
                (
                    "When does the walk {moves} ('{f}' up, '{b}' down, '{l}' left, '{r}' right) first come back to "
                    "where it began? Return the count of moves made, {v} if it does not."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        f, b, l, r = rng.sample(COMMANDS, 4)
        if variant == "position":
            return {"f": f, "l": l, "r": r, "k": rng.int(2, 9)}
        p = {"f": f, "b": b, "l": l, "r": r}
        if variant == "home":
            return p | {"v": -rng.int(1, 99)}
        return p | ({"m": rng.int(1, 5)} if variant == "field" else {"k": rng.int(2, 3)})

    def solve_position(self, p, moves):
        x, y, dx, dy = 0, 0, 0, p["k"]
        for c in moves:
            if c == p["f"]:
                x, y = x + dx, y + dy
            else:
                dx, dy = (-dy, dx) if c == p["l"] else (dy, -dx)
        return [x, y]

    def _path(self, p, moves, top=None):
        steps = {p["f"]: (0, 1), p["b"]: (0, -1), p["l"]: (-1, 0), p["r"]: (1, 0)}
        x = y = 0
        path = [(0, 0)]
        for c in moves:
            dx, dy = steps[c]
            if top is None or (0 <= x + dx <= top and 0 <= y + dy <= top):
                x, y = x + dx, y + dy
            path.append((x, y))
        return path

    def solve_field(self, p, moves):
        return list(self._path(p, moves, p["m"])[-1])

    def solve_visited(self, p, moves):
        counts = {}
        for cell in self._path(p, moves):
            counts[cell] = counts.get(cell, 0) + 1
        return sum([n >= p["k"] for n in counts.values()])

    def solve_home(self, p, moves):
        path = self._path(p, moves)
        return path.index((0, 0), 1) if (0, 0) in path[1:] else p["v"]

    def edge_cases(self, rng, variant, p, difficulty):
        f, l, r, b = p["f"], p["l"], p["r"], p.get("b", "")
        yield ("",)
        yield (f,)
        yield (f + f,)
        yield (r + f,)
        yield (l + f,)
        if variant == "position":
            yield from (
                (f + r + f + f,),
                (f + l + f,),
                ((f + r) * 3,),
                (r + r + f,),
                (l * 3 + f + r + f,),
                (f * 3 + r + f * 2 + r + f,),
            )
            return
        yield from (
            (b,),
            (f + b,),
            (f + r + b + l,),
            (r + r + l,),
            (f + f + b + b + f + b,),
            (l + r,),
            (r + f + l + f,),
        )
        if variant == "field":
            m = p["m"]
            yield from (
                (f * (m + 2) + b,),
                (l + r + r,),
                (b + f + f,),
                (r * (m + 3) + l,),
                (l * 2 + b * 2 + r + f,),
                (f * (m + 1) + r * m,),
            )
            yield (r * (m + 1) + f * 2 + l,)
        if variant == "visited":
            yield from (
                ((f + b) * p["k"],),
                ((f + b) * (p["k"] - 1),),
                ((l + r) * 3 + f,),
                ((f + r + b + l) * 2,),
                (f + b + r + l + b + f,),
            )

    def sample(self, rng, variant, p, difficulty):
        size = rng.int(4, 6 + 2 * difficulty)
        if variant == "position":
            return (rng.text(p["f"] * 2 + p["l"] + p["r"], size),)
        if variant == "field":
            return (rng.text(p["f"] * 2 + p["b"] + p["l"] + p["r"] * 2, size),)
        return (rng.text(p["f"] + p["b"] + p["l"] + p["r"], size),)

    def write_position(self, p):
        f, l, k = repr(p["f"]), repr(p["l"]), p["k"]

        def walk(left="-b, a", right="b, -a", start=f"0, {k}", end="[x, y]"):
            return (
                f"x, y, a, b = 0, 0, {start}\nfor c in moves:\n    if c == {f}:\n        x, y = x + a, y + b\n"
                f"    elif c == {l}:\n        a, b = {left}\n    else:\n        a, b = {right}\nreturn {end}"
            )

        correct = [
            walk(),
            (
                f"p, d = 0, {k}j\nfor c in moves:\n    if c == {f}:\n        p += d\n    else:\n"
                f"        d *= 1j if c == {l} else -1j\nreturn [int(p.real), int(p.imag)]"
            ),
            (
                f"t, i, p = [(0, {k}), ({k}, 0), (0, -{k}), (-{k}, 0)], 0, [0, 0]\nfor c in moves:\n"
                f"    if c == {f}:\n        p = [p[0] + t[i][0], p[1] + t[i][1]]\n    else:\n"
                f"        i = (i + (3 if c == {l} else 1)) % 4\nreturn p"
            ),
        ]
        mutants = [
            ("turns_swapped", walk("b, -a", "-b, a"), "mixes the turns up"),
            ("unit_steps", walk(start="0, 1"), "takes steps of 1"),
            ("faces_right", walk(start=f"{k}, 0"), "starts facing right"),
            ("coordinates_swapped", walk(end="[y, x]"), "mixes x and y up"),
            ("other_step", walk(start=f"0, {k + 1}"), "takes other steps"),
        ]
        return correct, mutants

    def write_field(self, p):
        m = p["m"]

        def walk(m=m, low=0, end="[x, y]", inside=None):
            test = inside or f"{low} <= x + a <= {m} and {low} <= y + b <= {m}"
            return (
                f"d = {_steps(p)}\nx = y = 0\nfor c in moves:\n    a, b = d[c]\n    if {test}:\n"
                f"        x, y = x + a, y + b\nreturn {end}"
            )

        f, b, l, r = (repr(p[c]) for c in "fblr")
        correct = [
            walk(),
            (
                f"x = y = 0\nfor c in moves:\n    if c == {f} and y < {m}:\n        y += 1\n"
                f"    elif c == {b} and y > 0:\n        y -= 1\n    elif c == {r} and x < {m}:\n        x += 1\n"
                f"    elif c == {l} and x > 0:\n        x -= 1\nreturn [x, y]"
            ),
            (
                f"d = {_steps(p)}\nx = y = 0\nfor c in moves:\n    x = max(0, min({m}, x + d[c][0]))\n"
                f"    y = max(0, min({m}, y + d[c][1]))\nreturn [x, y]"
            ),
        ]
        mutants = [
            ("no_edge", walk(inside="True"), "leaves the field"),
            ("smaller_field", walk(m - 1), "has a smaller field"),
            ("larger_field", walk(m + 1), "has a larger field"),
            ("no_low_edge", walk(low=-99), "has no edge at 0"),
            (
                "clamped_at_the_end",
                walk(inside="True", end=f"[max(0, min({m}, x)), max(0, min({m}, y))]"),
                "looks at the edge at the end only",
            ),
        ]
        return correct, mutants

    def write_visited(self, p):
        k = p["k"]

        def visited(op=f">= {k}", start="[(0, 0)]", count="sum(t.count(q) {op} for q in set(t))"):
            return (
                f"d = {_steps(p)}\nx, y, t = 0, 0, {start}\nfor c in moves:\n"
                f"    x, y = x + d[c][0], y + d[c][1]\n    t.append((x, y))\nreturn {count.format(op=op)}"
            )

        correct = [
            visited(),
            (
                f"d, n, q = {_steps(p)}, {{(0, 0): 1}}, (0, 0)\nfor c in moves:\n"
                "    q = (q[0] + d[c][0], q[1] + d[c][1])\n    n[q] = n.get(q, 0) + 1\n"
                f"return len([q for q in n if n[q] >= {k}])"
            ),
            (
                f"d = {_steps(p)}\nt = [(sum(d[c][0] for c in moves[:i]), sum(d[c][1] for c in moves[:i])) for i in "
                f"range(len(moves) + 1)]\nreturn len({{q for q in t if t.count(q) >= {k}}})"
            ),
        ]
        mutants = [
            ("all", visited(">= 1"), "counts every place"),
            ("no_start", visited(start="[]"), "forgets the start"),
            ("more_than", visited(f"> {k}"), "asks for one more visit"),
            ("visits", visited(count="sum(t.count(q) {op} for q in t)"), "counts visits"),
            ("exactly", visited(count=f"max(map(t.count, t)) - {k}"), "returns another number"),
        ]
        return correct, mutants

    def write_home(self, p):
        v = p["v"]

        def home(v=v, start="0", test="x == y == 0", found="n"):
            return (
                f"d = {_steps(p)}\nx = y = 0\nfor n, c in enumerate(moves, 1):\n"
                f"    x, y = x + d[c][0], y + d[c][1]\n    if {test}:\n        return {found}\nreturn {v}"
            )

        f, b, l, r = (repr(p[c]) for c in "fblr")
        correct = [
            home(),
            (
                "for i in range(1, len(moves) + 1):\n    t = moves[:i]\n"
                f"    if t.count({f}) == t.count({b}) and t.count({l}) == t.count({r}):\n        return i\n"
                f"return {v}"
            ),
            (
                f"d = {{{f}: 1j, {b}: -1j, {l}: -1, {r}: 1}}\nq, n = 0, 0\nfor c in moves:\n    q += d[c]\n"
                f"    n += 1\n    if q == 0:\n        return n\nreturn {v}"
            ),
        ]
        mutants = [
            ("from_zero", home(found="n - 1"), "counts from 0"),
            ("other_sentinel", home(v=v - 1), "has another answer for never"),
            ("one_axis", home(test="x == 0"), "looks at x only"),
            (
                "last",
                home()
                .replace("return n\n", "k = n\n")
                .replace("x = y = 0", f"x = y = 0\nk = {v}")
                .replace(f"return {v}", "return k"),
                "returns the last return",
            ),
            (
                "at_the_end",
                (
                    f"n = len(moves)\nreturn n if moves.count({f}) == moves.count({b}) and moves.count({l}) == "
                    f"moves.count({r}) else {v}"
                ),
                "looks at the end only",
            ),
        ]
        return correct, mutants


def _steps(p):
    return f"{{{p['f']!r}: (0, 1), {p['b']!r}: (0, -1), {p['l']!r}: (-1, 0), {p['r']!r}: (1, 0)}}"


FAMILY = Robot()
