"""The report tells what the run folder holds, survives what it lacks, and never runs what a model wrote."""

from __future__ import annotations

import html
import json
import math
import random
import re
from html.parser import HTMLParser

import pytest

from pipelines.artifacts.run_folder import RunFolder, step_name
from pipelines.artifacts.samples import SAMPLE_SCHEMA
from pipelines.cli import dispatch
from pipelines.report import render, write_report
from pipelines.report.browser import LIMIT, choose, spread
from pipelines.report.figures import learning_curves, sync_chart
from pipelines.report.run_data import (
    Record,
    engine_rates,
    engine_times,
    smoothed,
    sync_bounds,
    time_parts,
    whole_overlap,
)
from pipelines.report.tables import headline, results
from problems.config import ProblemsConfig
from problems.problem import Status
from problems.stream import ProblemStream

CONFIG = {
    "model": "student", "steps": 12, "control": "none", "hardware": {"device": "cpu"},
    "problems": ProblemsConfig(seed=3).model_dump(mode="json"),
    "evaluation": {"problems": 40, "samples": 8, "split": "test", "temperature": 1.0},
    "rollout": {"group_size": 8, "groups_per_step": 8, "max_staleness": 0, "engine": {"dtype": "float32"}},
    "train": {"loss": "grpo", "lora_r": 8, "learning_rate": 0.003, "beta": 0.04},
}  # fmt: skip
HOSTILE = "</pre><script>window.owned = 1</script><img src=x onerror=alert(1)> \u202e {{ 7 * 7 }} \" ' `"
FAMILIES = ("coin_change", "fibonacci", "knapsack", "lcs", "n_queens", "parentheses")


def estimate(value: float, width: float = 0.1) -> dict[str, float]:
    return {"value": value, "low": max(0.0, value - width), "high": min(1.0, value + width)}


def evaluation_row(name: str, step: int, skill: float) -> dict:
    draw = random.Random(name)
    return {
        "kind": "evaluation", "name": name, "step": step, "problems": 40, "samples": 320, "lost": 0,
        "pass_at": {"1": estimate(skill, 0.061), "2": estimate(skill + 0.1), "8": estimate(skill + 0.25, 0.05)},
        "families": {f: estimate(min(1.0, max(0.0, skill + draw.uniform(-0.3, 0.25))), 0.15) for f in FAMILIES},
        "difficulties": {str(d): estimate(max(0.05, skill + 0.2 - 0.05 * d), 0.12) for d in range(1, 11)},
        "tests_passed": skill + 0.1, "truncated": 0.01, "completion_tokens": 44.25,
        "statuses": {"passed": skill, "wrong_answer": 0.8 - skill, "exception": 0.15, "timeout": 0.05},
    }  # fmt: skip


def step_metrics(step: int, steps: int, engine: str = "e0") -> dict:
    draw, progress = random.Random(step), step / steps
    rate = 0.36 + 0.34 * (1 - math.exp(-3 * progress)) + draw.gauss(0, 0.05)
    wait, train = 1.1 + draw.random() * 0.3 + (9 if step == 1 else 0), 0.8 + draw.random() * 0.2
    passed = round(64 * rate)
    row = {
        "kind": "step", "step": step, "reward": rate, "pass_rate": rate,
        "entropy": 0.9 - 0.5 * progress + draw.gauss(0, 0.03),
        "kl": 0.02 * progress + abs(draw.gauss(0, 0.002)), "grad_norm": 0.3 + abs(draw.gauss(0, 0.1)),
        "completion_length": 44 - 6 * progress + draw.gauss(0, 2), "truncated": max(0, 0.03 - 0.03 * progress),
        "staleness_mean": 0.0, "staleness_max": 0, "acceptance": min(1.0, 0.7 + draw.gauss(0, 0.1)),
        "publish/canary_gap": 2.1e-6 + draw.random() * 1e-6, "logprob_gap/fresh_max": 2e-6 + draw.random() * 3e-6,
        "logprob_gap/max": 5e-6, "seconds/wait_for_batch": wait, "seconds/step": train, "publish/seconds": 0.05,
        "seconds/whole_step": wait + train + 0.1, "tokens_per_second": 64 * 40 / (wait + train + 0.1),
        "clock": {engine: {"prefill": 5 + 0.2 * step, "decode": 2 + 0.9 * step, "load": 0.04 * step, "idle": 9 + step}},
        "statuses": {"passed": passed, "wrong_answer": 54 - passed, "exception": 9, "timeout": 1},
        "groups_sampled": 8, "groups_informative": 6, "groups_stale": 0, "verify_cpu_seconds": 0.12,
    }  # fmt: skip
    return row | ({"seconds/checkpoint": 0.04} if step % 10 == 0 else {})


def sample_row(step: int, number: int, **values) -> dict:
    draw = random.Random(f"{step}.{number}")
    status = draw.choice([Status.PASSED, Status.WRONG_ANSWER, Status.EXCEPTION])
    problem = ProblemStream(ProblemsConfig(seed=3), "train").problem(number)
    row = {
        "step": step, "policy_version": max(0, step - 1), "adapter_hash": "ab", "averaged": False, "sequence": number,
        "attempt": 0, "group_id": f"{number}.0", "index": 0, "problem_id": problem.id,
        "question_hash": problem.question_hash,
        "family": problem.family, "mode": problem.variant, "difficulty": problem.difficulty, "split": "train",
        "prompt": "", "prompt_tokens": 3, "gold": None,
        "completion": f"```python\ndef solve(n):\n    return n + {number}\n```", "completion_ids": [1, 2],
        "logprobs": [-0.5, -0.1], "finish_reason": "stop", "engine": "e0", "status": str(status),
        "passed": status is Status.PASSED, "tests_passed": 3, "tests_run": 10, "tests_total": 10, "cpu_seconds": 0.002,
        "wall_seconds": 0.01, "memory_mib": 13.0, "isolation": 3, "advantage": None,
        "detail": "" if status is Status.PASSED else "test 2: wrong value", "reward": float(status is Status.PASSED),
    }  # fmt: skip
    assert set(row) == set(SAMPLE_SCHEMA.names)
    return row | values


def build_run(path, *, steps: int = 12, after: bool = True, config: dict = CONFIG) -> RunFolder:
    folder = RunFolder.create(path, {**config, "name": path.name})
    folder.append_metrics(evaluation_row("before", 0, 0.42))
    folder.write_samples("evaluation-before", [sample_row(-1, n) for n in range(40)])
    for step in range(1, steps + 1):
        folder.append_metrics(step_metrics(step, steps))
        folder.write_samples(step_name(step), [sample_row(step, n) for n in range(16)])
    if after:
        folder.append_metrics(evaluation_row("after", steps, 0.66))
        folder.write_samples("evaluation-after", [sample_row(-1, n) for n in range(40)])
        change = {"value": 0.24, "low": 0.181, "high": 0.302}
        folder.append_metrics({"kind": "comparison", "before": "before", "after": "after", "pass_at_1": change})
    folder.close()
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return build_run(tmp_path_factory.mktemp("runs") / "finished")


class _Page(HTMLParser):
    """Tags with their attributes, and the text of everything that is not a script or a style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        (self.scripts if self._inside == "script" else [] if self._inside else self.words).append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_report_is_one_small_file_that_fetches_nothing(finished):
    path = write_report(finished)
    assert path == finished.report_path
    page = _Page(path.read_text())
    assert path.stat().st_size < 6_000_000
    assert not [t for t, attrs in page.tags if t in ("link", "iframe", "img", "base") or "src" in attrs]
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy and "unsafe-inline'; img" in policy
    nonces = {a.get("nonce") for t, a in page.tags if t == "script"}
    assert len(nonces) == 1 and f"script-src 'nonce-{nonces.pop()}'" in policy
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    for heading in (
        "Held-out result",
        "Learning curves",
        "Proof of sync",
        "Where the time went",
        "Verdicts",
        "Samples",
    ):
        assert heading in page.text


def test_every_chart_has_its_place_and_its_numbers(finished):
    page = _Page(render(finished))
    (script,) = [s for s in page.scripts if "const figures" in s]
    figures = json.JSONDecoder().raw_decode(script.split("const figures = ", 1)[1])[0]
    assert set(figures) == {a["id"] for t, a in page.tags if a.get("class") == "chart"}
    assert {"chart-reward", "chart-kl", "chart-sync", "chart-time", "chart-engines", "chart-statuses"} <= set(figures)
    rows = finished.steps()
    assert figures["chart-reward"]["data"][0]["y"] == pytest.approx([row["reward"] for row in rows])
    assert figures["chart-reward"]["data"][0]["x"] == [row["step"] for row in rows]


def test_table_shows_the_numbers_of_metrics_jsonl(finished):
    before, after = (row for row in finished.metrics() if row["kind"] == "evaluation")
    body = re.search(r'<table class="results">.*?</table>', render(finished), re.S)[0]
    found = {}
    for row in re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", body, re.S):
        found[html.unescape(row[0])] = [
            (float(v), p, i)
            for v, p, i in re.findall(r'title="([^"]+)">([^<]+)</b> <span class="interval">([^<]+)', row[1])
        ]
    expected = {f"pass@{k}": (before["pass_at"][k], after["pass_at"][k]) for k in before["pass_at"]}
    expected |= {f.replace("_", " "): (before["families"][f], after["families"][f]) for f in FAMILIES}
    expected |= {
        f"difficulty {d}": (before["difficulties"][d], after["difficulties"][d]) for d in before["difficulties"]
    }
    for label, pair in expected.items():
        for (value, percent, interval), truth in zip(found[label], pair, strict=True):
            assert value == truth["value"]
            assert percent == f"{100 * truth['value']:.1f}"
            assert interval == f"{100 * truth['low']:.1f} – {100 * truth['high']:.1f}"
    assert [row.label for row in results(Record.read(finished))[2].rows] == [f"difficulty {d}" for d in range(1, 11)]


@pytest.mark.parametrize(
    ("change", "mood", "words"),
    [
        ((0.24, 0.181, 0.302), "better", "improved by 24.0 points (95 % interval +18.1 to +30.2)"),
        ((-0.1, -0.2, -0.02), "worse", "worsened by 10.0 points (95 % interval −20.0 to −2.0)"),
        ((0.02, -0.01, 0.05), "same", "did not change beyond chance: +2.0 points (95 % interval −1.0 to +5.0)"),
    ],
)
def test_headline_says_improved_only_where_the_whole_interval_is_above_zero(change, mood, words):
    comparison = {"pass_at_1": dict(zip(("value", "low", "high"), change))}
    said = headline(Record("r", CONFIG, (), (), comparison))
    assert (said.mood, said.verdict) == (mood, f"Held-out pass@1 {words}.")


def test_hostile_text_stays_text(tmp_path):
    config = {**CONFIG, "model": HOSTILE}
    folder = build_run(tmp_path / "hostile", steps=2, after=False, config=config)
    values = {"completion": HOSTILE, "prompt": HOSTILE, "detail": HOSTILE, "problem_id": HOSTILE, "engine": HOSTILE}
    folder.write_samples(
        step_name(2), [sample_row(2, 0, family=HOSTILE, mode=HOSTILE, finish_reason=HOSTILE, **values)]
    )
    row = step_metrics(3, 3) | {"statuses": {HOSTILE: 3, "passed": 1}}
    folder.append_metrics(row | {"clock": {HOSTILE: {HOSTILE: 3.0}}})
    hostile = evaluation_row("after", 3, 0.5)
    folder.append_metrics(hostile | {"name": HOSTILE, "families": {HOSTILE: estimate(0.5)}, "statuses": {HOSTILE: 1.0}})
    folder.log(HOSTILE + " \ud800")

    page = _Page(write_report(folder).read_text())
    assert [t for t, _ in page.tags if t == "script"] == ["script"] * 2  # plotly, and ours
    assert all(
        "window.owned" not in script or "<" not in script.split("const figures =")[1].split("\n")[0]
        for script in page.scripts
    )
    assert not [t for t, attrs in page.tags if t == "img" or any(name.startswith("on") for name in attrs)]
    assert "<script>window.owned = 1</script>" in page.text  # as text
    assert "{{ 7 * 7 }}" in page.text and "{{ 49 }}" not in page.text


def test_unfinished_run_says_how_far_it_got(tmp_path):
    folder = build_run(tmp_path / "cut", steps=5, after=False)
    page = _Page(write_report(folder).read_text())
    assert "interrupted · step 5 of 12" in page.text
    assert "nothing was measured after training" in page.text


def test_nothing_done_yet(tmp_path):
    with RunFolder.create(tmp_path / "new", CONFIG) as folder:
        page = _Page(write_report(folder).read_text())
    assert "interrupted · step 0 of 12" in page.text and "nothing was evaluated" in page.text
    assert folder.report_path.stat().st_size < 100_000  # no charts, so no plotly


@pytest.mark.parametrize("lost", ["statuses", "clock", "entropy", "seconds/whole_step", "publish/canary_gap", "reward"])
def test_missing_metrics_leave_their_part_out(tmp_path, lost):
    with RunFolder.create(tmp_path / "run", {"steps": 3}) as folder:
        for step in (1, 2, 3):
            row = step_metrics(step, 3)
            del row[lost]
            folder.append_metrics(row)
    assert "Learning curves" in render(folder)


def test_rows_of_bare_steps_and_odd_values(tmp_path):
    with RunFolder.create(tmp_path / "run", {"model": None}) as folder:
        folder.append_metrics({"step": 1})
        folder.append_metrics({"kind": "step", "step": 2, "reward": float("nan"), "clock": None, "statuses": None})
        folder.append_metrics(
            {"kind": "step", "step": 3, "reward": "high", "clock": {"e": None}, "statuses": {"passed": 0}}
        )
        folder.append_metrics({"kind": "evaluation", "name": "after", "pass_at": None, "step": None})
        folder.append_metrics({"kind": "comparison", "pass_at_1": None})
    assert "0 of" not in _Page(render(folder)).text


def test_an_evaluation_alone_is_a_report_too(tmp_path):
    with RunFolder.create(tmp_path / "run", {"model": "m", "evaluation": {"problems": 40}}) as folder:
        folder.append_metrics(evaluation_row("model", 0, 0.4))
        folder.write_samples("evaluation-model", [sample_row(-1, n) for n in range(3)])
    page = _Page(render(folder))
    assert "Held-out pass@1 is 40.0 %" in page.text and "3 of the 3 samples" in page.text
    assert "change" not in re.search(r"<thead>.*?</thead>", render(folder), re.S)[0]


def test_a_step_that_was_redone_counts_once(tmp_path):
    with RunFolder.create(tmp_path / "run", CONFIG) as folder:
        for reward in (0.1, 0.9):
            folder.append_metrics({"kind": "step", "step": 1, "reward": reward})
    assert Record.read(folder).series("reward") == [0.9]


def test_question_is_written_out_only_where_its_hash_agrees(tmp_path):
    folder = build_run(tmp_path / "run", steps=1, after=False)
    problem = ProblemStream(ProblemsConfig(seed=3), "train").problem(0)
    folder.write_samples("evaluation-before", [])
    for number, (values, shown) in enumerate([({}, 1), ({"question_hash": "other"}, 0), ({"problem_id": "x-1"}, 0)]):
        folder.write_samples(step_name(1), [sample_row(1, 0, **values)])
        text = _Page(render(folder)).text
        assert text.count(re.sub(r"\s+", " ", problem.statement)) == shown, number


def test_long_completions_are_cut_and_the_page_stays_small(tmp_path):
    folder = build_run(tmp_path / "run", steps=3, after=False)
    for step in (1, 2, 3):
        folder.write_samples(step_name(step), [sample_row(step, n, completion="<" * 50_000) for n in range(200)])
    path = write_report(folder)
    assert path.stat().st_size < 6_000_000
    assert "46,000 characters more" in path.read_text()


def test_chosen_samples_cover_steps_and_statuses():
    labels = [("before", "passed", "family 0")] * 16 + [
        (f"step {s}", "wrong_answer", f"family {n % 5}") for s in range(500) for n in range(16)
    ]
    labels[7777] = ("step 485", "infrastructure", "family 0")
    labels[3000:3003] = [("step 186", "timeout", "family 1")] * 3
    chosen = choose(labels, {"before"})
    assert len(chosen) == LIMIT
    assert {7777, 3000, 3001, 3002} <= chosen
    sources = [labels[place][0] for place in chosen]
    assert {"before", "step 0", "step 499"} <= set(sources)
    assert len({labels[place][2] for place in chosen if labels[place][0] == "step 0"}) == 5
    assert choose([]) == set() and choose(labels[:3]) == {0, 1, 2}


def test_spread_keeps_both_ends():
    assert spread(range(100), 5) == [0, 25, 50, 74, 99]
    assert spread([1, 2], 5) == [1, 2]


def test_times_of_an_engine_are_differences_and_survive_its_restart(tmp_path):
    clocks = [
        {"a": {"decode": 10.0, "idle": 50.0}},
        {"a": {"decode": 12.0, "idle": 51.0}},
        {"a": {"decode": 1.5, "idle": 0.5}},
    ]
    clocks.append({"b": {"decode": 99.0, "idle": 1.0}})
    rows = [
        {"step": n, "clock": clock, "seconds/whole_step": 4.0, "seconds/step": 1.0} for n, clock in enumerate(clocks, 1)
    ]
    record = Record("r", {}, tuple(rows), (), {})
    deltas = [{"decode": 2.0, "idle": 1.0}, {"decode": 1.5, "idle": 0.5}]
    assert engine_times(record) == [{}, {"a": deltas[0]}, {"a": deltas[1]}, {}]
    overlap = whole_overlap(record)
    assert (overlap.steps, overlap.generate, overlap.learn, overlap.actual) == (2, 3.5, 2.0, 8.0)
    assert overlap.bound == 3.5 and overlap.in_turns == 5.5


def test_time_parts_add_up_to_the_whole(finished):
    record = Record.read(finished)
    sums = [sum(step) for step in zip(*time_parts(record).values())]
    assert sums == pytest.approx(record.series("seconds/whole_step"))


def test_smoothing_follows_the_last_steps_and_leaves_gaps():
    assert smoothed([1.0, 3.0, None, 5.0]) == [1.0, 2.0, None, 3.0]
    assert smoothed([0.0] * 20 + [8.0])[-1] == 1.0


def test_sync_chart_shows_the_bound_of_the_dtype(finished):
    def bounds(**engine):
        return list(sync_bounds(Record("r", {"rollout": {"engine": engine}}, (), (), {})).values())

    assert bounds(dtype="bfloat16") == [0.25] and bounds(canary_bound=0.01) == [0.01]
    assert bounds(dtype="float16") == [0.05, 0.25], "of engine and learner, the coarser dtype counts"
    assert bounds(dtype="auto") == [1e-3, 0.25]
    figure = sync_chart(Record.read(finished)).figure
    assert figure.layout.yaxis.type == "log" and figure.layout.shapes[0].y0 == 1e-3
    zero = Record("r", {}, ({"step": 1, "publish/canary_gap": 0.0},), (), {})
    assert sync_chart(zero).figure.data[0].y == (1e-9,)


def test_held_out_results_are_marked_on_the_pass_rate(finished):
    chart = next(chart for chart in learning_curves(Record.read(finished)) if chart.key == "pass-rate")
    marks = [(t.x[0], t.y[0]) for t in chart.figure.data if t.mode == "markers"]
    assert marks == [(0, 0.42), (12, 0.66)]


def test_command_writes_the_report(finished, tmp_path, capsys):
    finished.report_path.unlink(missing_ok=True)
    assert dispatch(["report", str(finished.path)]) == 0
    assert finished.report_path.is_file() and str(finished.report_path) in capsys.readouterr().out
    assert dispatch(["report", str(tmp_path / "none")]) == 2
    assert "not a run folder" in capsys.readouterr().err
    assert dispatch(["report"]) == 2 and dispatch(["report", "--help"]) == 0


def test_speed_is_told_by_kind_of_engine(tmp_path):
    def row(step, tokens, decode):
        clock = {name: {"prefill": 1.0, "decode": seconds, "idle": 9.0 * step} for name, seconds in decode.items()}
        return {"kind": "step", "step": step, "clock": clock, "engine_tokens": tokens}

    run = RunFolder.create(tmp_path / "run", CONFIG)
    names = ("sim-1a2b3c-fast-0", "sim-1a2b3c-fast-1", "sim-1a2b3c-slow-0")
    for step in (1, 2, 3):
        tokens = dict(zip(names, (1000 * step, 800 * step, 100 * step), strict=True))
        run.append_metrics(row(step, tokens, dict.fromkeys(names, 2.0 * step)))
    fast, slow = engine_rates(Record.read(run))
    assert (fast.kind, fast.engines, fast.tokens, fast.busy) == ("fast", 2, 3600, 8.0)
    assert slow.rate == 50.0 and fast.rate == 450.0
    assert "tokens a second with work" in render(run)


def test_learning_from_traces_is_told_by_its_losses(tmp_path):
    with RunFolder.create(tmp_path / "tuned", {"model": "student", "sft": {"lora_r": 4, "epochs": 2}}) as folder:
        told = {"read": 50, "train": 43, "val": 6, "without_thinking": 1, "dropped_too_long": 0, "longest": 107}
        folder.append_metrics({"kind": "traces", **told})
        for step in range(1, 5):
            folder.append_metrics({"kind": "step", "step": step, "loss": 1 / step, "mean_token_accuracy": 0.9})
            folder.append_metrics({"kind": "validation", "step": step, "loss": 0.5 + 0.1 * abs(step - 3)})
        record, page = Record.read(folder), render(folder)
    loss = next(chart for chart in learning_curves(record) if chart.key == "loss").figure
    looks = next(trace for trace in loss.data if trace.name == "validation")
    assert list(looks.x) == [1, 2, 3, 4] and min(looks.y) == 0.5
    assert "Lowest validation loss 0.5000" in page and "43 to learn from" in page and "LoRA rank 4" in page
    assert "informative group" not in page and "reward" not in headline(record).verdict


def test_the_loss_of_grpo_is_not_drawn(finished):
    assert "loss" not in {chart.key for chart in learning_curves(Record.read(finished))}


def test_counts_of_what_went_wrong_are_shown_from_when_there_are_any():
    from pipelines.display import line

    row = {"step": 3, "reward": 0.5, "short_room": 0, "skipped_steps": 0}
    assert "skipped" not in line(row, 10) and "short room" not in line(row, 10)
    told = line({**row, "short_room": 2, "skipped_steps": 1}, 10)
    assert "short room 2" in told and "skipped 1" in told
