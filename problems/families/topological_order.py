"""Tasks that wait for others: any right order is a right answer."""

from __future__ import annotations

import heapq

from problems.family import Argument, Family, Variant


class TopologicalOrder(Family):
    name = "topological_order"
    summary = "orders of dependent tasks (any valid one), the smallest order, rounds, finishing time"
    functions = ("topological_order", "schedule", "plan", "solve")
    arguments = (Argument("n", "int", ("count",)), Argument("pairs", "list[list[int]]", ("rules", "needs")))
    variants = (
        Variant(
            "any",
            "list[int]",
            (
                (
                    "There are {n} tasks, 0 and up. Each [a, b] in {pairs} says that a must come before b. Return "
                    "any order of all tasks that obeys, or [{v}] if none does."
                ),
                (
                    "Put the numbers 0 to {n} - 1 in an order in which a stands before b for every [a, b] in "
                    "{pairs}. Any such order will do; [{v}] if impossible."
                ),
                (
                    "Return the tasks 0, ..., {n} - 1 in some order that respects {pairs} ([a, b]: first a, later "
                    "b). If there is a cycle return [{v}]."
                ),
            ),
            checker="any_valid:problems.families.topological_order:is_valid",
        ),
        Variant(
            "smallest",
            "list[int]",
            (
                (
                    "There are {n} tasks, 0 and up. Each [a, b] in {pairs} says that b must come before a. Always "
                    "do the smallest task that may be done. Return the order, or [{v}] if a cycle prevents it."
                ),
                (
                    "In {pairs}, [a, b] means that a needs b first. Do all tasks 0 to {n} - 1, each time the "
                    "smallest one that is ready, and return the order; [{v}] if that fails."
                ),
                (
                    "Return the order of tasks 0, ..., {n} - 1 in which the least available task always goes next. "
                    "[a, b] in {pairs}: b before a. A cycle gives [{v}]."
                ),
            ),
            level=3,
        ),
        Variant(
            "rounds",
            "int",
            (
                (
                    "There are {n} tasks, 0 and up. Each [a, b] in {pairs} says that a must be done in an earlier "
                    "round than b; a round may hold any number of tasks. Return the fewest rounds, or {v} for a "
                    "cycle."
                ),
                (
                    "In {pairs}, [a, b] means a before b. All tasks (of 0 to {n} - 1) that are ready are done "
                    "together in one round. How many rounds does it take? {v} if it never ends."
                ),
                (
                    "Return the least number of rounds for tasks 0, ..., {n} - 1 if [a, b] in {pairs} forces a "
                    "into an earlier round than b. Return {v} if impossible."
                ),
            ),
            level=2,
        ),
        Variant(
            "time",
            "int",
            (
                (
                    "There are {n} tasks, 0 and up; task i takes i + {t} minutes. Each [a, b] in {pairs} says that "
                    "a must be finished before b begins. Working side by side, when are all done? Return {v} for a "
                    "cycle."
                ),
                (
                    "Task i of 0 to {n} - 1 lasts {t} + i minutes and may start once every a with [a, b = i] in "
                    "{pairs} is finished. Return the time at which all are finished; {v} if never."
                ),
                (
                    "Return the least time to finish tasks 0, ..., {n} - 1 (task i lasts i + {t}) in parallel if "
                    "[a, b] in {pairs} means that b starts after a ends. A cycle gives {v}."
                ),
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        p = {"v": -rng.int(1, 999)}
        return p | {"t": rng.int(2, 30)} if variant == "time" else p

    def solve_any(self, p, n, pairs):
        return _smallest(n, pairs) or [p["v"]]

    def solve_smallest(self, p, n, pairs):
        return _smallest(n, [[b, a] for a, b in pairs]) or [p["v"]]

    def solve_rounds(self, p, n, pairs):
        return _finish(n, pairs, lambda i: 1, p["v"])

    def solve_time(self, p, n, pairs):
        return _finish(n, pairs, lambda i: i + p["t"], p["v"])

    def edge_cases(self, rng, variant, p, difficulty):
        yield from ((1, []), (2, [[1, 0]]), (2, [[0, 1], [1, 0]]), (3, [[0, 0]]), (3, [[2, 1], [1, 0]]), (4, []))
        yield from (
            (3, [[0, 1], [1, 2], [2, 0]]),
            (4, [[3, 0], [3, 0], [0, 1]]),
            (4, [[1, 0], [3, 2]]),
            (5, [[4, 1], [1, 3], [3, 0]]),
        )
        yield from (
            (5, [[0, 4], [4, 2], [1, 2], [3, 1]]),
            (4, [[0, 1], [2, 3], [3, 2]]),
            (5, [[0, 3], [1, 3], [3, 4], [2, 4]]),
        )
        yield (6, [[5, 0], [0, 4], [5, 4], [2, 1], [4, 1]])
        yield (4, [[0, 1], [0, 2], [1, 3], [2, 3], [0, 3]])

    def sample(self, rng, variant, p, difficulty):
        n = rng.int(3, 4 + difficulty)
        order = rng.shuffled(range(n))
        pairs = []
        for _ in range(rng.int(1, n + difficulty // 2)):
            i, j = sorted(rng.sample(range(n), 2))
            pairs.append([order[i], order[j]])
        if rng.chance(0.2):
            pairs.append(pairs[0][::-1])
        return (n, pairs)

    def write_any(self, p):
        v = p["v"]
        correct = [
            _rounds("a, b", "out += t", "out", f"[{v}]"),
            (
                "out, left = [], set(range(n))\nwhile left:\n"
                "    t = [x for x in left if all(b != x or a not in left for a, b in pairs)]\n    if not t:\n"
                f"        return [{v}]\n    out.append(max(t))\n    left.remove(max(t))\nreturn out"
            ),
            "seen, out = {}, []\ndef go(x):\n    if x in seen:\n        return seen[x]\n    seen[x] = False\n"
            "    ok = all([go(b) for a, b in pairs if a == x])\n    seen[x] = ok\n    out.append(x)\n    return ok\n"
            f"return out[::-1] if all([go(x) for x in range(n)]) else [{v}]",
        ]
        mutants = [
            ("turned", _rounds("b, a", "out += t", "out", f"[{v}]"), "takes the rules the wrong way"),
            ("partial", _rounds("a, b", "out += t", "out", "out"), "returns a part where there is a cycle"),
            ("other_sentinel", _rounds("a, b", "out += t", "out", f"[{v - 1}]"), "has another answer for a cycle"),
            ("given_order", "return list(range(n))", "ignores the rules"),
            (
                "sorted_pairs",
                (
                    "out = []\nfor a, b in pairs:\n    for x in (a, b):\n        if x not in out:\n"
                    "            out.append(x)\nreturn out"
                ),
                "lists tasks as they occur",
            ),
        ]
        return correct, mutants

    def write_smallest(self, p):
        v = p["v"]

        def smallest(test="all(a != x or b not in left for a, b in pairs)", pick="min", v=v, miss="return [{v}]"):
            return (
                f"out, left = [], set(range(n))\nwhile left:\n    t = [x for x in left if {test}]\n    if not t:\n"
                f"        {miss.format(v=v)}\n    out.append({pick}(t))\n    left.remove({pick}(t))\nreturn out"
            )

        correct = [
            smallest(),
            (
                "out = []\nwhile len(out) < n:\n    for x in range(n):\n"
                "        if x not in out and all(b in out for a, b in pairs if a == x):\n"
                f"            out.append(x)\n            break\n    else:\n        return [{v}]\nreturn out"
            ),
            (
                "import heapq\nd = [sum(a == x for a, b in pairs) for x in range(n)]\n"
                "h = [x for x in range(n) if d[x] == 0]\nout = []\nwhile h:\n    x = heapq.heappop(h)\n"
                "    out.append(x)\n    for a, b in pairs:\n        if b == x:\n            d[a] -= 1\n"
                "            if d[a] == 0:\n                heapq.heappush(h, a)\n"
                f"return out if len(out) == n else [{v}]"
            ),
        ]
        mutants = [
            ("turned", smallest("all(b != x or a not in left for a, b in pairs)"), "takes the rules the wrong way"),
            ("largest", smallest(pick="max"), "takes the largest ready task"),
            ("rounds", _rounds("b, a", "out += t", "out", f"[{v}]"), "does a whole round before it looks again"),
            ("other_sentinel", smallest(v=v - 1), "has another answer for a cycle"),
            ("partial", smallest(miss="return out"), "returns a part where there is a cycle"),
        ]
        return correct, mutants

    def write_rounds(self, p):
        v = p["v"]
        correct = [
            _rounds("a, b", "out += 1", "out", v, "0"),
            _levels("1", v),
            (
                "d = [0] * n\nfor _ in range(n + 1):\n"
                "    e = [1 + max([d[a] for a, b in pairs if b == x], default=0) for x in range(n)]\n"
                f"    if e == d:\n        return max(d)\n    d = e\nreturn {v}"
            ),
        ]
        mutants = [
            ("edges", _rounds("a, b", "out += 1", "out - 1", v, "0"), "counts the steps between rounds"),
            ("other_sentinel", _rounds("a, b", "out += 1", "out", v - 1, "0"), "has another answer for a cycle"),
            ("one_each", _rounds("a, b", "out += len(t)", "out", v, "0"), "does one task a round"),
            ("no_sentinel", _rounds("a, b", "out += 1", "out", "out", "0"), "returns a number for a cycle"),
        ]
        return correct, mutants

    def write_time(self, p):
        v, t = p["v"], p["t"]
        correct = [
            _levels(f"x + {t}", v),
            (
                "d = [0] * n\nfor _ in range(n + 1):\n"
                f"    e = [x + {t} + max([d[a] for a, b in pairs if b == x], default=0) for x in range(n)]\n"
                f"    if e == d:\n        return max(d)\n    d = e\nreturn {v}"
            ),
            (
                "from functools import cache\ntodo = set()\n@cache\ndef go(x):\n    if x in todo:\n"
                "        raise ValueError\n    todo.add(x)\n"
                f"    return x + {t} + max([go(a) for a, b in pairs if b == x], default=0)\ntry:\n"
                f"    return max(map(go, range(n)))\nexcept ValueError:\n    return {v}"
            ),
        ]
        mutants = [
            (
                "in_a_row",
                _levels(f"x + {t}", v).replace("max(d.values())", f"sum(x + {t} for x in range(n))"),
                "does one task after another",
            ),
            ("rounds", _levels("1", v), "counts rounds"),
            ("other_sentinel", _levels(f"x + {t}", v - 1), "has another answer for a cycle"),
            ("other_length", _levels(f"x + {t + 1}", v), "has tasks of another length"),
        ]
        return correct, mutants


def _rounds(edge, add, end, miss, start="[]"):
    return (
        f"out, left = {start}, set(range(n))\nwhile left:\n"
        f"    t = sorted(left - {{{edge.split(', ')[1]} for a, b in pairs if {edge.split(', ')[0]} in left}})\n"
        f"    if not t:\n        return {miss}\n    {add}\n    left -= set(t)\nreturn {end}"
    )


def _levels(length, v):
    return (
        f"d = {{}}\nwhile len(d) < n:\n    m = len(d)\n    for x in range(n):\n"
        "        t = [a for a, b in pairs if b == x]\n        if x not in d and all(a in d for a in t):\n"
        f"            d[x] = {length} + max([d[a] for a in t], default=0)\n    if len(d) == m:\n"
        f"        return {v}\nreturn max(d.values())"
    )


def _smallest(n, pairs):
    """The smallest order, [] where there is a cycle (Kahn 1962, with a heap)."""
    waits, then = [0] * n, [[] for _ in range(n)]
    for a, b in pairs:
        waits[b] += 1
        then[a].append(b)
    ready, out = [x for x in range(n) if not waits[x]], []
    while ready:
        x = heapq.heappop(ready)
        out.append(x)
        for b in then[x]:
            waits[b] -= 1
            if not waits[b]:
                heapq.heappush(ready, b)
    return out if len(out) == n else []


def _finish(n, pairs, length, v):
    order = _smallest(n, pairs)
    if not order:
        return v
    ready = [0] * n
    then = {}
    for a, b in pairs:
        then.setdefault(a, []).append(b)
    for x in order:
        ready[x] += length(x)
        for b in then.get(x, ()):
            ready[b] = max(ready[b], ready[x])
    return max(ready)


def is_valid(args, expected, got):
    """Any order of all tasks that obeys the rules; just `expected` where there is none."""
    n, pairs = args
    if type(got) is not list or any(type(x) is not int for x in got):
        return False
    if len(expected) == 1 and expected[0] < 0:
        return got == expected
    if sorted(got) != list(range(n)):
        return False
    place = {x: i for i, x in enumerate(got)}
    return all(place[a] < place[b] for a, b in pairs)


FAMILY = TopologicalOrder()
