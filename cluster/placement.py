"""Which actor goes to which GPU: a search over single devices, by the rules that Ray and NCCL set. Pure: no Ray.

- A share of a GPU is a share of one: k actors that share a device have 1/k of it each, all of them whole on it.
- An actor that wants several GPUs has them whole, on one node.
- Two workers of one learner are never on one GPU: NCCL refuses that.
- GPUs are shared only where there are too few of them, and by as few actors as possible; then an engine joins a learner
  rather than another engine, since the two seldom compute at the same time.
- Actors without a choice are placed before those with fallbacks, and a choice that leaves no room for a later actor is
  taken back, `MAX_TRIES` times at most in each of the `LEVELS`. A search that reaches this limit counts as failed: the
  request is refused, and `Found.exhausted` says that it was not proven impossible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.nodes import NODE_LABEL, Node, carries, devices_of

PARTS = 10_000
"""Ray counts resources in ten-thousandths. So are all amounts here: three thirds of a GPU are never more than one."""
LEVELS = (1, 2, 3, 4, 6, 8, 12, 16)
"""How many actors may share a GPU, tried in this order. More than the last are refused."""
MAX_TRIES = 5_000
"""Placements of single actors that a search tries at one level before it gives up."""


@dataclass(frozen=True, slots=True)
class Actor:
    """What one engine or one learner worker needs."""

    what: str
    cpus: float
    gpus: float | None
    """0: none. Below one: that share of a single GPU. Whole numbers: so many whole GPUs of one node. None: a GPU, or
    an equal share of one where there are too few."""
    selectors: tuple[Mapping[str, str], ...] = ({},)
    """Labels of its node, in order of preference."""
    learner: int | None = None
    """Number of the learner that it is a worker of; None for engines."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one actor goes."""

    node: str
    devices: tuple[int, ...]
    """Indices of its GPUs on the node; () without."""
    cpus: float
    gpus: float
    """Its share of its single device, or the number of its devices."""
    reserved: float
    """What all actors of its device take of it, or the number of its devices: what Ray must set aside as one piece."""
    choice: int
    """Which of its actor's selectors its node carries."""
    selector: Mapping[str, str]
    """That selector."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What Ray must set aside as one piece: a device, or what is used of it, with the CPUs of its actors."""

    node: str
    cpus: float
    gpus: float
    selector: Mapping[str, str]
    """Labels of any node that would do."""


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search."""

    seats: tuple[Seat, ...] | None
    """A seat for each actor; None where there is no room for all."""
    stuck: int = 0
    """Where there is no room: the actor at which the search that came furthest failed."""
    sharers: int = 1
    """How many actors a GPU was allowed to have: the first of LEVELS at which there was room."""
    exhausted: bool = False
    """Whether a search was given up at MAX_TRIES: there may be a placement that was not found."""


def find_seats(actors: Sequence[Actor], nodes: Sequence[Node]) -> Found:
    """Seats for all actors at once on nodes that are empty, with as few actors to a GPU as possible."""
    order = sorted(range(len(actors)), key=lambda number: _urgency(actors[number], nodes))
    ordered = [actors[number] for number in order]
    levels = LEVELS if any(actor.gpus is None for actor in actors) else LEVELS[:1]
    furthest, exhausted = 0, False
    for level in levels:
        search = _Search(ordered, nodes, level)
        # Where there is too little in sum, one way down shows for whom.
        possible = search.state.may_hold(ordered)
        spots = search.run(MAX_TRIES if possible else len(ordered))
        exhausted |= possible and search.tries > MAX_TRIES
        furthest = max(furthest, search.deepest)
        if spots is not None:
            seats: dict[int, Seat] = dict(zip(order, search.state.seats(ordered, spots), strict=True))
            return Found(tuple(seats[number] for number in range(len(actors))), sharers=level)
    return Found(None, order[min(furthest, len(order) - 1)], exhausted=exhausted)


def bundles_of(seats: Sequence[Seat], nodes: Sequence[Node]) -> tuple[list[Bundle], list[int]]:
    """The bundles to reserve, and the number of each seat's bundle. Actors of one device have one bundle."""
    members: dict[tuple, list[int]] = {}
    for number, seat in enumerate(seats):
        members.setdefault((seat.node, seat.devices) if seat.devices else (number,), []).append(number)
    labels = {node.name: node.labels for node in nodes}
    bundles, bundle_of = [], [0] * len(seats)
    for group in members.values():
        first = seats[group[0]]
        selectors = [seats[number].selector for number in group]
        for number in group:
            bundle_of[number] = len(bundles)
        cpus = sum(round(seats[number].cpus * PARTS) for number in group) / PARTS
        bundles.append(Bundle(first.node, cpus, first.reserved, _all_of(selectors, labels[first.node])))
    return bundles, bundle_of


def _all_of(selectors: Sequence[Mapping[str, str]], labels: Mapping[str, str]) -> Mapping[str, str]:
    """A selector that selects the node with `labels`, and only nodes that each of `selectors` selects."""
    if all(selector == selectors[0] for selector in selectors):
        return selectors[0]
    keys = {key for selector in selectors for key in selector}
    return {key: labels[key] for key in keys} if keys <= set(labels) else {NODE_LABEL: labels[NODE_LABEL]}


def _urgency(actor: Actor, nodes: Sequence[Node]) -> tuple[bool, int, float, float]:
    """Actors with no choice of nodes or devices come first."""
    gpus = 1.0 if actor.gpus is None else actor.gpus
    fit = sum(any(carries(node.labels, selector) for selector in actor.selectors) for node in nodes)
    return len(actor.selectors) > 1, fit, -gpus, -actor.cpus


def _items(actor: Actor) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The actor's selectors, hashable."""
    return tuple(tuple(sorted(selector.items())) for selector in actor.selectors)


@dataclass(slots=True)
class _Device:
    """What is taken of a GPU."""

    free: int
    """Parts that may be used at all."""
    fixed: int = 0
    """Parts taken by actors with a share of their own."""
    equal: int = 0
    """Actors that share equally what is left."""
    learners: list[int] = field(default_factory=list)
    """Learners with a worker here."""
    engines: int = 0

    @property
    def actors(self) -> int:
        return len(self.learners) + self.engines

    def key(self) -> tuple[int, int, int, tuple[int, ...], int]:
        return self.free, self.fixed, self.equal, tuple(sorted(self.learners)), self.engines


@dataclass(frozen=True, slots=True)
class _Spot:
    """A node, by number, and the devices there that an actor takes."""

    node: int
    devices: tuple[int, ...]
    choice: int


class _State:
    """What is free, while a search goes on."""

    def __init__(self, actors: Sequence[Actor], nodes: Sequence[Node], level: int):
        self.names = [node.name for node in nodes]
        self.cpus = [round(node.resources.get("CPU", 0.0) * PARTS) for node in nodes]
        self.devices: list[list[_Device]] = [[] for _ in nodes]
        numbers = {node.name: number for number, node in enumerate(nodes)}
        for device in devices_of(nodes):
            self.devices[numbers[device.node]].append(_Device(round(device.free * PARTS)))
        self.share = PARTS // level
        """The least that an actor without a share of its own has of a GPU."""
        workers = [actor.learner for actor in actors if actor.learner is not None]
        self.spread = {learner for learner in workers if workers.count(learner) > 1}
        """Learners of several workers. Their GPUs are reserved whole: of two shares Ray might make one GPU."""
        selectors = {items for actor in actors for items in _items(actor)}
        self.selected = {
            items: [number for number, node in enumerate(nodes) if carries(node.labels, dict(items))]
            for items in selectors
        }
        self.classes = [tuple(number in chosen for chosen in self.selected.values()) for number in range(len(nodes))]

    def may_hold(self, actors: Sequence[Actor]) -> bool:
        """False where there is too little in sum: of all nodes, or of those that some of the actors must be on."""
        for selectors in [None, *{_items(actor) for actor in actors}]:
            some = [actor for actor in actors if selectors in (None, _items(actor))]
            chosen = range(len(self.cpus)) if selectors is None else {n for s in selectors for n in self.selected[s]}
            gpus = sum(self.share if actor.gpus is None else round(actor.gpus * PARTS) for actor in some)
            cpus = sum(round(actor.cpus * PARTS) for actor in some)
            if gpus > sum(d.free for n in chosen for d in self.devices[n]) or cpus > sum(self.cpus[n] for n in chosen):
                return False
        return True

    def spots(self, actor: Actor) -> list[_Spot]:
        """Where the actor may go, best first, one of each kind that are alike."""
        found = []
        for choice, selector in enumerate(_items(actor)):
            options: list[tuple[tuple, _Spot]] = []
            for node in self.selected[selector]:
                if self.cpus[node] >= round(actor.cpus * PARTS):
                    options += self._spots_on(node, actor, choice)
            found += [spot for _, spot in sorted(options, key=lambda option: option[0])]
        return found

    def _spots_on(self, node: int, actor: Actor, choice: int) -> list[tuple[tuple, _Spot]]:
        devices = self.devices[node]
        if actor.gpus == 0:
            return [((0, 0, node), _Spot(node, (), choice))]
        if actor.gpus is not None and actor.gpus >= 1:
            whole = [i for i, d in enumerate(devices) if d.free == PARTS and not d.actors][: int(actor.gpus)]
            return [((0, 0, node), _Spot(node, tuple(whole), choice))] if len(whole) == actor.gpus else []
        alike: dict[tuple, tuple[tuple, _Spot]] = {}
        for index, device in enumerate(devices):
            if device.key() not in alike and self._may_share(device, actor):
                rival = bool(device.learners) if actor.learner is not None else bool(device.engines)
                alike[device.key()] = ((device.actors, rival, node), _Spot(node, (index,), choice))
        return list(alike.values())

    def _may_share(self, device: _Device, actor: Actor) -> bool:
        if actor.learner in device.learners or (actor.learner in self.spread and device.free < PARTS):
            return False
        fixed = 0 if actor.gpus is None else round(actor.gpus * PARTS)
        equal = device.equal + (actor.gpus is None)
        return device.fixed + fixed + equal * self.share <= device.free

    def take(self, actor: Actor, spot: _Spot, sign: int = 1) -> None:
        """Puts the actor there; with `sign` -1 takes it back."""
        self.cpus[spot.node] -= sign * round(actor.cpus * PARTS)
        for index in spot.devices:
            device = self.devices[spot.node][index]
            if actor.gpus is None:
                device.equal += sign
            else:
                device.fixed += sign * min(PARTS, round(actor.gpus * PARTS))
            if actor.learner is None:
                device.engines += sign
            elif sign > 0:
                device.learners.append(actor.learner)
            else:
                device.learners.remove(actor.learner)

    def key(self) -> tuple:
        """The same for states that differ in the names of alike nodes and devices only."""
        nodes = zip(self.classes, self.cpus, self.devices, strict=True)
        return tuple(sorted((kind, cpus, tuple(sorted(d.key() for d in devices))) for kind, cpus, devices in nodes))

    def seats(self, actors: Sequence[Actor], spots: Sequence[_Spot]) -> list[Seat]:
        """The seats, once all actors are placed."""
        found = []
        for actor, spot in zip(actors, spots, strict=True):
            gpus = reserved = float(len(spot.devices))
            if spot.devices and (actor.gpus is None or actor.gpus < 1):
                device = self.devices[spot.node][spot.devices[0]]
                gpus = _equal_share(device) / PARTS if actor.gpus is None else actor.gpus
                whole = device.free == PARTS and (device.equal > 0 or any(n in self.spread for n in device.learners))
                reserved = 1.0 if whole else (device.fixed + device.equal * _equal_share(device)) / PARTS
            selector = actor.selectors[spot.choice]
            found.append(Seat(self.names[spot.node], spot.devices, actor.cpus, gpus, reserved, spot.choice, selector))
        return found


def _equal_share(device: _Device) -> int:
    """Parts that each actor without a share of its own has: 1/k of a GPU, for the smallest k that fits."""
    k = max(1, device.equal)
    while device.fixed + device.equal * (PARTS // k) > device.free:
        k += 1
    return PARTS // k


class _Search:
    """Depth first, with the states that are known to lead nowhere left out."""

    def __init__(self, actors: Sequence[Actor], nodes: Sequence[Node], level: int):
        self.state = _State(actors, nodes, level)
        self.tries = 0
        self.deepest = 0
        """Most actors that were placed at once."""
        self._actors = actors

    def run(self, limit: int) -> list[_Spot] | None:
        """A spot for each actor; None where there is none, or none was found in `limit` tries."""
        taken: list[_Spot] = []
        if not self._actors:
            return taken
        dead: set[tuple] = set()
        options = [iter(self.state.spots(self._actors[0]))]
        while options:
            depth = len(options) - 1
            if len(taken) > depth:
                self.state.take(self._actors[depth], taken.pop(), sign=-1)
            spot = next(options[-1], None)
            if spot is None:
                dead.add((depth, self.state.key()))
                options.pop()
                continue
            self.tries += 1
            if self.tries > limit:
                return None
            self.state.take(self._actors[depth], spot)
            taken.append(spot)
            self.deepest = max(self.deepest, depth + 1)
            if len(taken) == len(self._actors):
                return taken
            if not dead or (depth + 1, self.state.key()) not in dead:
                options.append(iter(self.state.spots(self._actors[depth + 1])))
        return None
