"""Shortest ways through graphs, with drawn tolls, closed nodes and one-way edges."""

from __future__ import annotations

import heapq

from problems.family import Argument, Family, Variant

_ENDS = (Argument("start", "int", ("source", "begin")), Argument("goal", "int", ("target", "finish")))


class ShortestPath(Family):
    name = "shortest_path"
    summary = "fewest edges or least cost between two nodes, with one-way edges, a closed node, tolls, reach"
    functions = ("shortest_path", "route", "path_length", "solve")
    arguments = (Argument("edges", "list[list[int]]", ("links", "roads")), *_ENDS)
    variants = (
        Variant(
            "hops",
            "int",
            (
                (
                    "{edges} lists one-way edges [a, b]. Return the least number of edges from {start} to {goal}, "
                    "or {v} if there is no way."
                ),
                (
                    "Each [a, b] in {edges} leads from a to b only. How few steps take you from {start} to {goal}? "
                    "Return {v} if none do."
                ),
                (
                    "In the directed graph of edges [a, b] given by {edges}, how long is the shortest path from "
                    "{start} to {goal}, in edges? {v} if unreachable."
                ),
            ),
        ),
        Variant(
            "closed",
            "int",
            (
                (
                    "{edges} lists two-way edges [a, b]. Return the least number of edges from {start} to {goal} "
                    "that avoids node {z}, or {v} if there is no way."
                ),
                (
                    "Each [a, b] in {edges} joins a and b both ways. How few steps take you from {start} to {goal} "
                    "without entering {z}? {v} if none do."
                ),
                (
                    "Node {z} is closed. In the undirected graph {edges}, how many edges has the shortest path "
                    "from {start} to {goal}? Return {v} if there is none."
                ),
            ),
            level=2,
        ),
        Variant(
            "reach",
            "list[int]",
            (
                (
                    "{edges} lists two-way edges [a, b]. Return the sorted nodes that can be reached from {start} "
                    "by at most {k} edges, {start} included."
                ),
                (
                    "Each [a, b] in {edges} joins a and b both ways. Which nodes are no more than {k} steps from "
                    "{start}? List them in ascending order, with {start}."
                ),
                "In the undirected graph {edges}, list in ascending order all nodes at distance 0 to {k} from {start}.",
            ),
            level=3,
            arguments=(
                Argument("edges", "list[list[int]]", ("links", "roads")),
                Argument("start", "int", ("source", "begin")),
            ),
        ),
        Variant(
            "cheapest",
            "int",
            (
                (
                    "{edges} lists one-way edges [a, b, cost]. Every edge used costs {t} more. Return the least "
                    "cost from {start} to {goal}, or {v} if there is no way."
                ),
                (
                    "Each [a, b, c] in {edges} leads from a to b for c plus a toll of {t}. What is the cheapest "
                    "way from {start} to {goal}? Return {v} if none exists."
                ),
                (
                    "In the directed graph {edges} an edge [a, b, c] costs c + {t}. Return the minimum cost from "
                    "{start} to {goal}; {v} if unreachable."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        v = -rng.int(1, 999)
        if variant == "closed":
            return {"v": v, "z": rng.int(1, 9)}
        if variant == "reach":
            return {"k": rng.int(1, 60)} if difficulty > 8 else {"k": rng.int(1, 40)}
        return {"v": v, "t": rng.int(1, 30)} if variant == "cheapest" else {"v": v}

    def solve_hops(self, p, edges, start, goal):
        return _hops(edges, start).get(goal, p["v"])

    def solve_closed(self, p, edges, start, goal):
        both = [e for a, b in edges if p["z"] not in (a, b) for e in ((a, b), (b, a))]
        return _hops(both, start).get(goal, p["v"])

    def solve_reach(self, p, edges, start):
        both = [e for a, b in edges for e in ((a, b), (b, a))]
        return sorted([x for x, n in _hops(both, start).items() if n <= p["k"]])

    def solve_cheapest(self, p, edges, start, goal):
        ways = {}
        for a, b, c in edges:
            ways.setdefault(a, []).append((b, c + p["t"]))
        done, heap = {}, [(0, start)]
        while heap:
            cost, x = heapq.heappop(heap)
            if x not in done:
                done[x] = cost
                for b, c in ways.get(x, ()):
                    heapq.heappush(heap, (cost + c, b))
        return done.get(goal, p["v"])

    def edge_cases(self, rng, variant, p, difficulty):
        z, k, t = p.get("z", 0), p.get("k", 2), p.get("t", 0)
        a, b, c, d, e = rng.sample([i for i in range(12, 40) if i != z], 5)
        if variant == "hops":
            yield from (
                ([], a, a),
                ([[a, b]], b, a),
                ([[a, b], [b, c], [c, d], [a, c]], a, d),
                ([[b, c], [a, b], [c, d]], a, d),
            )
            yield from (
                ([[a, b], [b, a], [b, c]], a, c),
                ([[a, b], [c, d]], a, d),
                ([[a, c], [a, b], [b, d], [c, e], [e, d]], a, d),
            )
            yield ([[a, b], [b, c], [c, d], [d, e], [a, e]], a, e)
        elif variant == "closed":
            yield from (
                ([], a, a),
                ([[a, z], [z, b]], a, b),
                ([[a, z], [z, b], [b, c], [d, c], [a, d]], a, b),
                ([[b, a]], a, b),
            )
            yield from (
                ([[a, b], [c, b], [d, c], [a, z], [z, d]], a, d),
                ([[a, b], [c, d]], a, d),
                ([[a, b], [b, c], [a, c]], a, c),
            )
            yield ([[a, z], [b, a], [b, c], [c, z]], a, c)
        elif variant == "reach":
            chain = [[50 + i, 51 + i] for i in range(k + 2)]
            yield from (
                ([], a),
                ([[a, b]], b),
                ([[a, b], [c, d]], a),
                (chain, 50),
                (chain[::-1], 51),
                (chain, 50 + k + 2),
            )
            yield ([*chain, [50, 50 + k]], 50)
            yield ([[b, a], [b, c], [d, c]], a)
        else:
            yield from (([], a, a), ([[a, b, 5]], b, a), ([[a, b, 3 * t + 9], [a, c, 1], [c, b, 2]], a, b))
            yield ([[a, b, t + 5], [a, c, 1], [c, b, 2]], a, b)  # dearer with the toll, though its costs are lower
            yield ([[a, b, 2 * t + 9], [a, c, 4], [c, d, 1], [d, b, 1]], a, b)
            yield ([[a, b, 1], [b, c, 90], [a, d, 30], [d, c, 30]], a, c)
            yield from (([[a, b, 4], [a, b, 2]], a, b), ([[a, b, 7], [c, d, 1]], a, d), ([[b, c, 3], [a, b, 3]], a, c))

    def sample(self, rng, variant, p, difficulty):
        n = 4 + difficulty
        edges = [rng.sample(range(n), 2) for _ in range(n + rng.int(0, n // 2))]
        if variant == "cheapest":
            edges = [[*e, rng.int(1, 12 + p["t"])] for e in edges]
        if variant == "reach":
            return (edges, rng.pick(edges)[0])
        nodes = [x for x in range(n) if x != p.get("z")]
        return (edges, *rng.sample(nodes, 2))

    def write_hops(self, p):
        v = p["v"]
        correct = [
            _layers("b for a, b in edges if a in new", v),
            (
                f"d = {{start: 0}}\nfor _ in edges:\n    for a, b in edges:\n        if a in d:\n"
                f"            d[b] = min(d.get(b, 10**9), d[a] + 1)\nreturn d.get(goal, {v})"
            ),
            (
                f"d, todo = {{start: 0}}, [start]\nfor x in todo:\n    for a, b in edges:\n"
                "        if a == x and b not in d:\n            d[b] = d[x] + 1\n            todo.append(b)\n"
                f"return d.get(goal, {v})"
            ),
        ]
        mutants = [
            (
                "both_ways",
                _layers("y for e in edges for x, y in (e, e[::-1]) if x in new", v),
                "goes against one-way edges",
            ),
            (
                "other_sentinel",
                _layers("b for a, b in edges if a in new", v - 1),
                "has another answer where there is no way",
            ),
            ("nodes", _layers("b for a, b in edges if a in new", v, "n + 1"), "counts nodes"),
            ("deep", _deep(v), "takes the first way found"),
        ]
        return correct, mutants

    def write_closed(self, p):
        v, z = p["v"], p["z"]
        both = "y for e in edges for x, y in (e, e[::-1]) if x in new"
        keep = f"edges = [e for e in edges if {z} not in e]\n"
        correct = [
            keep + _layers(both, v),
            _layers(f"{both} and y != {z}", v),
            (
                f"d, todo = {{start: 0}}, [start]\nfor x in todo:\n    for a, b in edges:\n"
                f"        y = b if a == x else a\n        if x in (a, b) and y != {z} and y not in d:\n"
                f"            d[y] = d[x] + 1\n            todo.append(y)\nreturn d.get(goal, {v})"
            ),
        ]
        mutants = [
            ("open", _layers(both, v), "enters the closed node"),
            ("one_way", keep + _layers("b for a, b in edges if a in new", v), "goes one way only"),
            ("other_sentinel", keep + _layers(both, v - 1), "has another answer where there is no way"),
            ("nodes", keep + _layers(both, v, "n + 1"), "counts nodes"),
        ]
        return correct, mutants

    def write_reach(self, p):
        k = p["k"]

        def reach(k=k, step="y for e in edges for x, y in (e, e[::-1]) if x in t", end="sorted(t)", start="{start}"):
            return f"t = {start}\nfor _ in range({k}):\n    t = t | {{{step}}}\nreturn {end}"

        correct = [
            reach(),
            (
                f"d, todo = {{start: 0}}, [start]\nfor x in todo:\n    for a, b in edges:\n"
                "        y = b if a == x else a\n        if x in (a, b) and y not in d:\n"
                "            d[y] = d[x] + 1\n            todo.append(y)\n"
                f"return sorted(x for x in d if d[x] <= {k})"
            ),
            (
                f"t = {{start}}\nfor _ in range({k}):\n    new = set(t)\n    for a, b in edges:\n"
                "        if a in t:\n            new.add(b)\n        if b in t:\n            new.add(a)\n"
                "    if new == t:\n        break\n    t = new\nreturn sorted(t)"
            ),
        ]
        mutants = [
            ("one_way", reach(step="b for a, b in edges if a in t"), "goes one way only"),
            ("one_more", reach(k + 1), "goes a step too far"),
            ("without_start", reach(end="sorted(t - {start})"), "leaves the start out"),
            ("everything", reach("len(edges)"), "has no limit"),
            ("count", reach(end="len(t)"), "counts them"),
        ]
        return correct, mutants

    def write_cheapest(self, p):
        v, t = p["v"], p["t"]

        def relax(cost=f"c + {t}", v=v, ways="for a, b, c in edges:", update="min(d.get(b, 10**9), d[a] + COST)"):
            return (
                f"d = {{start: 0}}\nfor _ in edges:\n    {ways}\n        if a in d:\n"
                f"            d[b] = {update.replace('COST', cost)}\nreturn d.get(goal, {v})"
            )

        correct = [
            relax(),
            (
                f"import heapq\nh, d = [(0, start)], {{}}\nwhile h:\n    n, x = heapq.heappop(h)\n    if x in d:\n"
                "        continue\n    d[x] = n\n    for a, b, c in edges:\n        if a == x:\n"
                f"            heapq.heappush(h, (n + c + {t}, b))\nreturn d.get(goal, {v})"
            ),
            (
                f"d, todo = {{start: 0}}, [start]\nfor x in todo:\n    for a, b, c in edges:\n"
                f"        if a == x and d[x] + c + {t} < d.get(b, 10**9):\n            d[b] = d[x] + c + {t}\n"
                f"            todo.append(b)\nreturn d.get(goal, {v})"
            ),
        ]
        mutants = [
            ("no_toll", relax("c"), "leaves the toll out"),
            (
                "both_ways",
                relax(ways="for a, b, c in edges + [[b, a, c] for a, b, c in edges]:"),
                "goes against one-way edges",
            ),
            ("fewest", relax("1"), "counts edges"),
            ("other_toll", relax(f"c + {t + 1}"), "has another toll"),
            ("first_found", relax(update="d.get(b, d[a] + COST)"), "keeps the first cost found"),
            ("other_sentinel", relax(v=v - 1), "has another answer where there is no way"),
        ]
        return correct, mutants


def _layers(step, v, found="n"):
    return (
        f"seen, new, n = {{start}}, {{start}}, 0\nwhile new:\n    if goal in new:\n        return {found}\n"
        f"    new = {{{step}}} - seen\n    seen |= new\n    n += 1\nreturn {v}"
    )


def _deep(v):
    return (
        "seen = set()\ndef go(x, n):\n    if x == goal:\n        return n\n    seen.add(x)\n"
        "    for a, b in edges:\n        if a == x and b not in seen:\n            m = go(b, n + 1)\n"
        "            if m is not None:\n                return m\nn = go(start, 0)\n"
        f"return {v} if n is None else n"
    )


def _hops(edges, start):
    ways = {}
    for a, b in edges:
        ways.setdefault(a, []).append(b)
    found, todo = {start: 0}, [start]
    for x in todo:
        for b in ways.get(x, ()):
            if b not in found:
                found[b] = found[x] + 1
                todo.append(b)
    return found


FAMILY = ShortestPath()
