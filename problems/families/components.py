"""Connected parts of a graph, with drawn sizes and removed nodes."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class Components(Family):
    name = "components"
    summary = "count parts of a graph by size, the largest part without a node, bridges to add, who is connected"
    functions = ("components", "groups", "count_parts", "solve")
    arguments = (Argument("n", "int", ("count",)), Argument("edges", "list[list[int]]", ("links", "pairs")))
    variants = (
        Variant(
            "sized",
            "int",
            (
                (
                    "Nodes 0 to {n} - 1 are joined by the edges [a, b] in {edges}. How many connected parts have "
                    "at least {k} nodes? Return {w} times that number."
                ),
                (
                    "The graph has {n} nodes (0 and up) and two-way edges {edges}. Count its connected components "
                    "of {k} or more nodes and multiply by {w}."
                ),
                (
                    "Return {w} times the number of groups of {k} or more among the nodes 0, ..., {n} - 1, where "
                    "{edges} says who belongs together."
                ),
            ),
        ),
        Variant(
            "largest",
            "int",
            (
                (
                    "Nodes 0 to {n} - 1 are joined by the edges [a, b] in {edges}. Remove each edge whose nodes "
                    "differ by more than {d}. How many nodes has the largest connected part?"
                ),
                (
                    "The graph has {n} nodes (0 and up). Only those edges [a, b] of {edges} count whose ends are "
                    "at most {d} apart as numbers. Return the size of its largest component."
                ),
                (
                    "Return the number of nodes in the biggest group among 0, ..., {n} - 1, if [a, b] in {edges} "
                    "joins a and b unless they differ by more than {d}."
                ),
            ),
            level=2,
        ),
        Variant(
            "bridges",
            "int",
            (
                (
                    "Nodes 0 to {n} - 1 are joined by the edges [a, b] in {edges}. What does it cost at least to "
                    "connect all, if a new edge costs {c} and freeing a superfluous old edge to use it costs {f}?"
                ),
                (
                    "{edges} joins nodes 0 to {n} - 1. To connect all of them, edges that close a cycle may be "
                    "moved for {f} each and new ones built for {c} each. Return the least cost."
                ),
                (
                    "Return the cheapest cost of making the graph ({n} nodes, edges {edges}) connected: {f} for "
                    "moving an edge not needed for its part, {c} for a new one."
                ),
            ),
            level=5,
        ),
        Variant(
            "together",
            "list[int]",
            (
                (
                    "Nodes 0 to {n} - 1 are joined by the edges [a, b] in {edges}. Return the sizes of the "
                    "connected parts with at least {k} nodes, largest first, each multiplied by {w}."
                ),
                (
                    "The graph has {n} nodes (0 and up) and two-way edges {edges}. List its component sizes from "
                    "large to small, those below {k} left out, times {w}."
                ),
                (
                    "Return {w} times the size of each group of {k} or more among the nodes 0, ..., {n} - 1 "
                    "(joined by {edges}), in descending order."
                ),
            ),
            level=3,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "largest":
            return {"d": rng.int(1, 40)}
        if variant == "bridges":
            f = rng.int(1, 20)
            return {"f": f, "c": f + rng.int(1, 30)}
        return {"k": rng.int(2, 4), "w": rng.int(2, 199)}

    def solve_sized(self, p, n, edges):
        return p["w"] * sum([size >= p["k"] for size in _sizes(n, edges)])

    def solve_largest(self, p, n, edges):
        return max(_sizes(n, [e for e in edges if abs(e[0] - e[1]) <= p["d"]]))

    def solve_bridges(self, p, n, edges):
        sizes = _sizes(n, edges)
        needed = len(sizes) - 1
        spare = len(edges) - (n - len(sizes))
        moved = min(needed, spare)
        return moved * p["f"] + (needed - moved) * p["c"]

    def solve_together(self, p, n, edges):
        return [s * p["w"] for s in sorted(_sizes(n, edges), reverse=True) if s >= p["k"]]

    def edge_cases(self, rng, variant, p, difficulty):
        k, d = p.get("k", 2), p.get("d", 3)
        yield from (
            (1, []),
            (2, []),
            (2, [[1, 0]]),
            (4, [[3, 2], [1, 0], [2, 1]]),
            (3, [[0, 0]]),
            (5, [[0, 1], [2, 1], [4, 3]]),
        )
        yield from ((6, [[5, 4], [3, 2], [1, 0], [0, 5]]), (5, [[0, 1], [1, 2], [2, 0]]), (4, [[0, 1], [1, 0]]))
        yield from ((2 * k + 1, [[i, i + 1] for i in range(k - 1)]), (2 * k + 1, [[i + 1, i] for i in range(k)]))
        yield (3 * k, [[i, i + 1] for i in range(k - 1)] + [[k + i, k + i + 1] for i in range(k)])
        leaves = [[0, i] for i in range(1, k + 1)] + [[k + 1, i] for i in range(k + 2, 2 * k + 2)]
        yield (2 * k + 2, [*leaves, [k + 1, 0]])
        yield (7, [[6, 0], [0, 3], [3, 6], [1, 2], [5, 4], [4, 5]])
        if variant == "largest":
            yield from (
                (d + 3, [[0, d], [1, d + 1], [0, d + 1], [d + 2, 1]]),
                (2 * d + 3, [[0, d], [d, 2 * d], [2 * d + 1, d]]),
            )
            yield (d + 2, [[d + 1, 0]])
            yield (2 * d + 3, [[0, d + 1], [d + 1, 2 * d + 2], [0, 1], [d, 0]])

    def sample(self, rng, variant, p, difficulty):
        n = rng.int(4, 5 + 2 * difficulty) + p.get("d", 0) // 2
        return (n, [rng.sample(range(n), 2) for _ in range(rng.int(2, n))])

    def write_sized(self, p):
        k, w = p["k"], p["w"]
        return _programs(
            [
                ("", f"{w} * sum(len(t) >= {k} for t in parts)", ""),
                ("more_than", f"{w} * sum(len(t) > {k} for t in parts)", "asks for one more"),
                ("all", f"{w} * len(parts)", "counts every part"),
                ("exactly", f"{w} * sum(len(t) == {k} for t in parts)", "asks for just that size"),
                ("other_factor", f"{w + 1} * sum(len(t) >= {k} for t in parts)", "has another factor"),
                ("nodes", f"{w} * sum(len(t) for t in parts if len(t) >= {k})", "counts nodes"),
            ]
        )

    def write_largest(self, p):
        d = p["d"]
        keep = f"edges = [e for e in edges if abs(e[0] - e[1]) <= {d}]\n"
        best = "max(len(t) for t in parts)"
        correct, mutants = _programs([("", best, ""), ("count", "len(parts)", "counts the parts")], keep)
        others = [
            ("all_edges", _union(best), "removes no edge"),
            ("strict", _union(best, keep.replace("<=", "<")), "removes edges of just that span"),
            ("signed", _union(best, keep.replace("abs(e[0] - e[1])", "e[1] - e[0]")), "forgets edges that go down"),
            ("other_span", _union(best, keep.replace(f"<= {d}", f"<= {d + 1}")), "allows a longer span"),
        ]
        return correct, mutants + others

    def write_bridges(self, p):
        f, c = p["f"], p["c"]
        count = "m = len(parts) - 1\nk = min(m, len(edges) - n + len(parts))\n"
        return _programs(
            [
                ("", f"k * {f} + (m - k) * {c}", ""),
                ("all_new", f"m * {c}", "builds everything new"),
                ("all_moved", f"m * {f}", "moves more edges than there are"),
                ("swapped", f"k * {c} + (m - k) * {f}", "mixes the costs up"),
                ("one_too_many", f"k * {f} + (m + 1 - k) * {c}", "builds one too many"),
            ],
            before_end=count,
        )

    def write_together(self, p):
        k, w = p["k"], p["w"]
        sizes = f"(len(t) * {w} for t in parts if len(t) >= {k})"
        return _programs(
            [
                ("", f"sorted({sizes}, reverse=True)", ""),
                ("rising", f"sorted({sizes})", "sorts from small to large"),
                ("all", f"sorted((len(t) * {w} for t in parts), reverse=True)", "lists small parts too"),
                (
                    "more_than",
                    f"sorted((len(t) * {w} for t in parts if len(t) > {k}), reverse=True)",
                    "asks for one more",
                ),
                ("plain", f"sorted((len(t) for t in parts if len(t) >= {k}), reverse=True)", "leaves the factor out"),
                (
                    "limit_on_product",
                    f"sorted((len(t) * {w} for t in parts if len(t) * {w} >= {k}), reverse=True)",
                    "tests the wrong number",
                ),
            ]
        )


def _union(end, before="", before_end=""):
    return (
        f"{before}g = list(range(n))\nfor a, b in edges:\n    x, y = g[a], g[b]\n"
        "    g = [x if v == y else v for v in g]\n"
        f"parts = [[i for i in range(n) if g[i] == x] for x in set(g)]\n{before_end}return {end}"
    )


def _programs(ends, before="", before_end=""):
    """Three ways to find the parts, for the right end; the first of them with each wrong end."""
    right = ends[0][1]
    search = (
        f"{before}parts, seen = [], set()\nfor i in range(n):\n    if i not in seen:\n        t = [i]\n"
        "        for x in t:\n            for e in edges:\n                if x in e:\n"
        "                    t += [y for y in e if y not in t]\n        seen |= set(t)\n"
        f"        parts.append(t)\n{before_end}return {right}"
    )
    merging = (
        f"{before}parts = [{{i}} for i in range(n)]\nfor a, b in edges:\n"
        "    t = [s for s in parts if a in s or b in s]\n"
        f"    parts = [s for s in parts if s not in t] + [set().union(*t)]\n{before_end}return {right}"
    )
    correct = [_union(right, before, before_end), search, merging]
    one_pass = (
        f"{before}g = list(range(n))\nfor a, b in edges:\n    g[b] = g[a]\n"
        "parts = [[i for i in range(n) if g[i] == x] for x in set(g)]\n"
    )
    mutants = [(name, _union(end, before, before_end), why) for name, end, why in ends[1:]]
    return correct, [*mutants, ("one_pass", f"{one_pass}{before_end}return {right}", "does not carry names through")]


def _sizes(n, edges):
    group = list(range(n))
    members = [[i] for i in range(n)]
    for a, b in edges:
        x, y = group[a], group[b]
        if x != y:
            for i in members[y]:
                group[i] = x
            members[x] += members[y]
            members[y] = []
    return [len(m) for m in members if m]


FAMILY = Components()
