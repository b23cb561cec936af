"""The words and the tables of the report: headline, held-out results, where the time went. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from pipelines.display import TREND
from pipelines.measure.evaluation import BANDS
from pipelines.report.figures import STATUS_COLOURS, TIME_COLOURS, ordered_statuses, readable
from pipelines.report.run_data import Record, is_number, mean, number, sync_bounds, time_parts, total

CONTROLS = {
    "shuffled_rewards": "A control: each group's rewards were dealt out at random, so this run must not improve.",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The result of the run, in one sentence."""

    verdict: str
    mood: str
    """better, worse, same or open: the colour of the sentence."""
    state: str
    """How far the run got."""
    done: bool
    control: str
    """"" where the run is no control."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure that people look for first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A pass rate with its interval; shares between 0 and 1."""

    value: float
    low: float
    high: float

    @property
    def percent(self) -> str:
        return f"{100 * self.value:.1f}"

    @property
    def interval(self) -> str:
        return f"{100 * self.low:.1f} – {100 * self.high:.1f}"


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One measure of every evaluation; None where an evaluation lacks it."""

    label: str
    cells: tuple[Cell | None, ...]

    @property
    def change(self) -> float | None:
        """Last minus first, in points."""
        if len(self.cells) < 2 or self.cells[0] is None or self.cells[-1] is None:
            return None
        return 100 * (self.cells[-1].value - self.cells[0].value)

    @property
    def change_text(self) -> str:
        return "" if self.change is None else signed(self.change)


@dataclass(frozen=True, slots=True)
class ResultSection:
    """Rows under one heading."""

    title: str
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a whole with its colour, for a bar."""

    label: str
    share: float
    colour: str
    text: str = ""


def headline(record: Record) -> Headline:
    """The sentence on top."""
    planned = record.setting("steps")
    if record.traces:
        state = f"{record.last_step} updates from {record.traces.get('train')} traces"
    elif not is_number(planned):
        state = f"{len(record.evaluations)} evaluation" + "s" * (len(record.evaluations) != 1)
    elif record.finished:
        state = f"finished · {record.last_step} steps"
    elif record.last_step >= planned:
        state = f"trained · {record.last_step} steps, not evaluated yet"
    else:
        state = f"interrupted · step {record.last_step} of {planned}"
    verdict, mood = _verdict(record)
    control = CONTROLS.get(str(record.setting("control", "none")), "")
    return Headline(verdict, mood, state, record.finished, control)


def _verdict(record: Record) -> tuple[str, str]:
    change = _estimate(record.comparison.get("pass_at_1"))
    if change is not None:
        mood = "better" if change.low > 0 else "worse" if change.high < 0 else "same"
        words = {"better": "improved by", "worse": "worsened by", "same": "did not change beyond chance:"}[mood]
        points = f"{abs(100 * change.value):.1f}" if mood != "same" else signed(100 * change.value)
        interval = f"95 % interval {signed(100 * change.low)} to {signed(100 * change.high)}"
        return f"Held-out pass@1 {words} {points} points ({interval}).", mood
    rates = [(row["name"], rate) for row in record.evaluations if (rate := _pass_at(row, "1")) is not None]
    if len(rates) > 1:
        (first, one), (last, two) = rates[0], rates[-1]
        return f"Held-out pass@1: {one.percent} % {first}, {two.percent} % {last}; the two were not compared.", "open"
    if rates and record.setting("steps") is None:
        return f"Held-out pass@1 is {rates[0][1].percent} % (95 % interval {rates[0][1].interval}).", "open"
    if rates:
        return (
            f"Held-out pass@1 was {rates[0][1].percent} % {rates[0][0]}; nothing was measured after training.",
            "open",
        )
    if losses := [row["loss"] for row in record.validation if is_number(row.get("loss"))]:
        return f"Lowest validation loss {min(losses):.4f}; no held-out problem was measured.", "open"
    return "No held-out result: nothing was evaluated.", "open"


def tiles(record: Record) -> list[Tile]:
    """The figures on top; those that the run does not have are left out."""
    return [tile for tile in _tiles(record) if tile is not None]


def _tiles(record: Record) -> Iterator[Tile | None]:
    for k in _ks(record)[:1] + _ks(record)[1:][-1:]:
        cells = [cell for row in record.evaluations if (cell := _pass_at(row, k)) is not None]
        percents = dict.fromkeys((0, len(cells) - 1))
        yield Tile(f"held-out pass@{k}", " → ".join(cells[at].percent for at in percents) + " %", _asked(record))
    rewards = [value for value in record.series("reward") if value is not None]
    if rewards:
        first, last = mean(rewards[:TREND]), mean(rewards[-TREND:])
        steps = min(TREND, len(rewards))
        yield Tile("training reward", f"{first:.2f} → {last:.2f}", f"first and last {steps} step" + "s" * (steps > 1))
    gaps = [
        gap for key in ("publish/canary_gap", "logprob_gap/fresh_max") for gap in record.series(key) if gap is not None
    ]
    if gaps:
        yield Tile("largest sync gap", f"{max(gaps):.1e}", "engine against learner, log-probability")
    seconds = total(record.series("seconds/whole_step"))
    if seconds:
        rates = zip(record.series("tokens_per_second"), record.series("seconds/whole_step"))
        tokens = total(rate * whole for rate, whole in rates if rate is not None and whole is not None)
        yield Tile("training time", duration(seconds), f"{tokens / seconds:,.0f} completion tokens/s" if tokens else "")


def results(record: Record) -> list[ResultSection]:
    """Held-out pass rates by measure, by family and by difficulty: one cell an evaluation."""
    sections = [ResultSection("all problems", tuple(_rows(record, "pass_at", "pass@{}", _ks(record))))]
    sections.append(ResultSection("pass@1 by band of difficulty", tuple(_rows(record, "bands", "{}", BANDS))))
    for title, key in (("pass@1 by family", "families"), ("pass@1 by difficulty", "difficulties")):
        names = {name for row in record.evaluations for name in _mapping(row, key)}
        ordered = sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
        label = "{}" if key == "families" else "difficulty {}"
        sections.append(ResultSection(title, tuple(_rows(record, key, label, ordered))))
    return [section for section in sections if section.rows]


def _rows(record: Record, key: str, label: str, names: Sequence[str]) -> Iterator[ResultRow]:
    for name in names:
        cells = tuple(_estimate(_mapping(row, key).get(name)) for row in record.evaluations)
        if any(cells):
            yield ResultRow(label.format(readable(name)), cells)


def evaluation_facts(record: Record) -> list[tuple[str, tuple[str, ...]]]:
    """Label and one text an evaluation, of what is not a pass rate."""
    facts = {
        "problems × samples": lambda row: _product(row),
        "solved / partial / failed": lambda row: _counts(_mapping(_mapping(row, "counts"), "all")),
        **{f"of them {band}": partial(_band_counts, band) for band in BANDS},
        "partial credit of those not solved": lambda row: _percent(
            number(_mapping(_mapping(row, "counts"), "all"), "partial_credit")
        ),
        "tests passed": lambda row: _percent(number(row, "tests_passed")),
        "truncated": lambda row: _percent(number(row, "truncated")),
        "unparsed": lambda row: _percent(number(row, "unparsed")),
        "tokens a completion": lambda row: _formatted(number(row, "completion_tokens"), "{:.1f}"),
        "samples not scored (infrastructure failed)": lambda row: _formatted(number(row, "unscored") or None, "{:.0f}"),
        "problems without an answer": lambda row: _formatted(number(row, "lost") or None, "{:.0f}"),
    }
    rows = [(label, tuple(fact(row) for row in record.evaluations)) for label, fact in facts.items()]
    return [(label, texts) for label, texts in rows if any(texts)]


def conditions(record: Record) -> list[tuple[str, str, bool]]:
    """Of each condition its text, what was measured, and whether it is met."""
    rows = [row for row in record.conditions if isinstance(row, Mapping)]
    return [(str(row.get("condition")), _measured(number(row, "value")), row.get("met") is True) for row in rows]


def _measured(percent: float | None) -> str:
    return "nothing" if percent is None else f"{percent:.2f} %"


def _band_counts(band: str, row: Mapping[str, Any]) -> str:
    return _counts(_mapping(_mapping(_mapping(row, "counts"), "bands"), band))


def _counts(row: Mapping[str, Any]) -> str:
    """Samples that are solved, partly right and wrong throughout; "" where they were not counted."""
    counts = [number(row, name) for name in ("solved", "partial", "failed")]
    return "" if None in counts else " / ".join(f"{count:.0f}" for count in counts)


def evaluation_statuses(record: Record) -> list[tuple[str, list[Part]]]:
    """Of each evaluation the shares of its samples by status."""
    bars = []
    for row in record.evaluations:
        shares = {name: share for name, share in _mapping(row, "statuses").items() if is_number(share)}
        whole = sum(shares.values())
        names = [name for name in ordered_statuses(set(shares)) if shares[name] > 0]
        colour = STATUS_COLOURS.get
        parts = [
            Part(readable(name), shares[name] / whole, colour(name, "#a3adba"), f"{100 * shares[name] / whole:.1f} %")
            for name in names
        ]
        if parts:
            bars.append((str(row["name"]), parts))
    return bars


def time_shares(record: Record) -> list[Part]:
    """The parts of the learner's wall time over the whole run."""
    sums = {label: sum(seconds) for label, seconds in time_parts(record).items()}
    whole = sum(sums.values())
    return [Part(label, seconds / whole, TIME_COLOURS[label], duration(seconds)) for label, seconds in sums.items()]


def sync_sentence(record: Record) -> str:
    """Whether the largest gap of the run lies below the bound; "" without any gap."""
    values = {name: [v for v in record.series(key) if v is not None] for name, key in (
        ("canary", "publish/canary_gap"), ("samples", "logprob_gap/fresh_max"))}  # fmt: skip
    seen = [value for found in values.values() for value in found]
    if not seen:
        return ""
    bounds = sync_bounds(record)
    kept = [label for label, bound in bounds.items() if max(seen) <= bound]
    label = kept[0] if kept else next(reversed(bounds), "")
    place = f"{'within' if kept else 'over'} the {label} of {bounds[label]:g}" if label else "with no bound known"
    counts = " and ".join(f"{len(found)} {name}" for name, found in (
        ("publications", values["canary"]), ("steps with fresh samples", values["samples"])) if found)  # fmt: skip
    return f"The largest gap over {counts} is {max(seen):.2e}, {place}."


def accounting(record: Record) -> list[tuple[str, str]]:
    """What became of the problems of training: label and count."""
    labels = {
        "groups_sampled": "groups consumed",
        "groups_informative": "of them informative",
        "groups_stale": "dropped as too stale",
        "groups_reissued": "reissued",
        "groups_duplicate": "duplicate answers ignored",
        "groups_lost": "given up",
        "samples/excluded": "samples excluded (infrastructure failed)",
    }
    totals = {
        "short_room": "samples with less room than max_tokens",
        "skipped_steps": "updates skipped, for they were not finite",
    }
    counted = [(label, record.series(key)) for key, label in labels.items()]
    found = [(label, f"{total(counts):,.0f}") for label, counts in counted if any(c is not None for c in counts)]
    for key, label in totals.items():  # each step's row has the count since the start
        if last := next((count for count in reversed(record.series(key)) if count is not None), 0):
            found.append((label, f"{last:,.0f}"))
    return found


def produced(record: Record) -> list[tuple[str, str]]:
    """How the run was made, from its configuration: label and text. Keys that are not there are left out."""
    get = record.setting
    pieces = {
        "model": (("{}", "model"), ("from adapter {}", "adapter")),
        "objective": (
            ("{}", "train.loss"), ("advantage {}", "train.advantage"), ("beta {:g}", "train.beta"),
            *((("reward {}", "verify.reward.outcome"),) if get("rollout") else ()),
        ),
        "batch": (
            ("{} groups a step", "rollout.groups_per_step"), ("{} samples a group", "rollout.group_size"),
            ("at most {} tokens", "rollout.sampling.max_tokens"), ("temperature {:g}", "rollout.sampling.temperature"),
        ),
        "adapter": (
            ("LoRA rank {}", "train.lora_r"), ("alpha {:g}", "train.lora_alpha"),
            ("learning rate {:g}", "train.learning_rate"), ("{} schedule", "train.schedule"),
            ("LoRA rank {}", "sft.lora_r"), ("alpha {:g}", "sft.lora_alpha"),
            ("learning rate {:g}", "sft.learning_rate"), ("{} epochs", "sft.epochs"), ("batch {}", "sft.batch_size"),
        ),
        "machines": (
            ("rollout engines {}", "rollout.engines"), ("learner workers {}", "train.workers"),
            ("device {}", "hardware.device"), ("staleness up to {}", "rollout.max_staleness"),
        ),
        "held out": (
            *((("suite {}", "suite"),) if get("suite") else ()),
            *((("{} problems a cell", "evaluation.per_cell"),) if get("evaluation.per_cell") else ()),
            *((("{} problems", "evaluation.problems"),) if not (get("suites") or get("evaluation.per_cell")) else ()),
            ("{} samples each", "evaluation.samples"),
            ("{} split", "evaluation.split"), ("temperature {:g}", "evaluation.temperature"),
        ),
    }  # fmt: skip
    lines = []
    for label, parts in pieces.items():
        texts = [_formatted(get(key), form) for form, key in parts if get(key) not in (None, "")]
        if texts:
            lines.append((label, ", ".join(texts)))
    if suites := get("suites"):
        lines.append(("suites", ", ".join(suites)))
    if (traces := record.traces) and is_number(traces.get("read")):
        lines.append((
            "traces",
            f"{traces['read']} read, {traces['train']} to learn from, {traces['val']} of other questions to validate, "
            f"{traces['without_thinking'] + traces['dropped_too_long']} dropped; longest: {traces['longest']} tokens",
        ))  # fmt: skip
    return lines


def model_name(record: Record) -> str:
    """Short name of the model: the last part of a folder, the whole of an id."""
    model = str(record.setting("model", ""))
    return PurePath(model).name if PurePath(model).is_absolute() else model


def signed(points: float) -> str:
    """A change with its sign and one decimal; a typographic minus."""
    text = f"{points:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 0.95:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _ks(record: Record) -> list[str]:
    return sorted({k for row in record.evaluations for k in _mapping(row, "pass_at") if k.isdecimal()}, key=int)


def _pass_at(row: Mapping[str, Any], k: str) -> Cell | None:
    return _estimate(_mapping(row, "pass_at").get(k))


def _estimate(value: Any) -> Cell | None:
    if not isinstance(value, Mapping) or not all(is_number(value.get(key)) for key in ("value", "low", "high")):
        return None
    return Cell(value["value"], value["low"], value["high"])


def _mapping(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key)
    return value if isinstance(value, Mapping) else {}


def _asked(record: Record) -> str:
    counts = [number(row, "problems") for row in record.evaluations]
    return f"{counts[-1]:,.0f} problems" if counts and counts[-1] is not None else ""


def _product(row: Mapping[str, Any]) -> str:
    problems, samples = number(row, "problems"), number(row, "samples")
    return f"{problems:.0f} × {samples / problems:g}" if problems and samples else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _formatted(value: Any, form: str) -> str:
    """The value in its format, or as it is where it has another type than was thought."""
    if value is None:
        return ""
    try:
        return form.format(value)
    except ValueError:
        return str(value)
