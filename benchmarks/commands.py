"""Every job on the default student, offline, one after the other: how long it takes and what it shows.

    python -m benchmarks.commands [NAME ...] [--runs FOLDER] [--served]

Writes a row of a table for each command as soon as it has ended: its wall time (engine, Ray and learner started anew
each time) and its own headline, read from its run folder. What is in the folder already is not run again. With
`--served`, `lrl` and `undo` ask a real vLLM server of the Messages API, which serves the default student, in place of
the offline teacher.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipelines.artifacts.run_folder import RunFolder
from pipelines.measure.statistics import Difference, Estimate
from pipelines.student import build_student
from tests.servers import SECRET, serve_messages

HEADER = "| command | seconds | shows |\n|---|---|---|"
ROOT = Path(__file__).resolve().parents[1]
FAMILIES = "fibonacci reverse_string is_palindrome max_subarray binary_search remove_duplicates"
"""Those that the default student half knows."""
SERVED = "--teacher.model tiny --teacher.base-url {url} --teacher.key-variable TEACHER_KEY"


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and how its outcome is read."""

    name: str
    """Also that of its run folder."""
    line: str
    """After `crucible`; {runs} is the folder of all runs, {hard} the student of the three hard families."""
    headline: Callable[[RunFolder], str]
    statuses: tuple[int, ...] = (0,)
    """Exit statuses of a run that ended as it should; 3 says that a condition is not met."""


def share(estimate: Mapping[str, float]) -> str:
    """A share with its interval."""
    return str(Estimate(**estimate))


def points(change: Mapping[str, float]) -> str:
    """A difference of shares with its interval."""
    return str(Difference(**change))


def rows(folder: RunFolder, kind: str) -> list[dict[str, Any]]:
    """The metrics of a kind."""
    return [row for row in folder.metrics() if row.get("kind") == kind]


def results(folder: RunFolder) -> dict[str, Any]:
    """The figures of a job that writes `results.json`."""
    return json.loads((folder.path / "results.json").read_text())


def kept(folder: RunFolder) -> str:
    """`distil`."""
    count = [len((folder.path / f"{name}.jsonl").read_text().splitlines()) for name in ("traces", "failures")]
    return f"{count[0]:,} of {sum(count):,} traces passed their hidden tests"


def moved(folder: RunFolder) -> str:
    """`grpo`, `sft`, `evaluate --against`: held-out pass@1 before and after, or of the one and the other."""
    before, after = (row["pass_at"]["1"] for row in rows(folder, "evaluation")[:2])
    change = rows(folder, "comparison")[-1]["pass_at_1"]
    return f"pass@1 {share(before)} -> {share(after)}: {points(change)}"


def gated(folder: RunFolder) -> str:
    """`hard-distil`."""
    found = json.loads((folder.path / "metrics.json").read_text())
    return " -> ".join(share(row["pass_at"]["1"]) for row in found["evaluations"].values())


def focused(folder: RunFolder) -> str:
    """`expert-iteration`."""
    change = results(folder)["change"]
    return f"test: focus {points(change['focus'])}, general {points(change['general'])}"


def judged(folder: RunFolder) -> str:
    """`lrl`."""
    stages = results(folder)["stages"]
    silent = {name: sum(stage["confusion"][gold]["none"] for gold in ("YES", "NO")) for name, stage in stages.items()}
    return "; ".join(
        f"{name} {share(stage['balanced_accuracy'])}" + (f", {silent[name]} without verdict" if silent[name] else "")
        for name, stage in stages.items()
    )


def taught(folder: RunFolder) -> str:
    """`undo`."""
    found = results(folder)
    said = ", ".join(f"{name} {share(figures['pass_at_1'])}" for name, figures in found["test"].items())
    return f"test: {said}; {found['stopped']}"


COMMANDS = (
    Command("demo", "grpo --config pipelines/configs/demo.yaml", moved),
    Command("traces", f"distil --count 20 --problems.difficulties 1 2 3 4 5 --problems.families {FAMILIES}", kept),
    Command("tuned", "sft --config pipelines/configs/sft_student.yaml --traces {runs}/traces --evaluate True", moved),
    Command("on", "grpo --config pipelines/configs/demo.yaml --adapter {runs}/tuned", moved),
    Command(
        "measured",
        f"evaluate --adapter {{runs}}/on --against base --seeds 0 1 --problems.families {FAMILIES}",
        moved,
    ),
    Command("hard", "hard-distil --config pipelines/configs/hard_distil.yaml --model {hard}", gated, (0, 3)),
    Command("expert", "expert-iteration", focused),
    Command("words", "lrl", judged),
    Command("errors", "undo --iterations 3", taught),
)
TAUGHT = ("words", "errors")
"""Those that take another teacher with `--served`."""


def main() -> None:
    """Runs the commands that are not done, and prints the table."""
    served_help = "lrl and undo with a vLLM server as teacher"
    options = options_of(
        __doc__, COMMANDS, lambda parser: parser.add_argument("--served", action="store_true", help=served_help)
    )
    with folder_of(options.runs) as runs, contextlib.ExitStack() as stack:
        print(HEADER)
        for command in COMMANDS:
            served = options.served and command.name in TAUGHT
            if (options.names and command.name not in options.names) or (options.served and not served):
                continue
            if served:
                url = stack.enter_context(serve_messages(build_student(), runs / "server.log"))
                os.environ["TEACHER_KEY"] = SECRET
                line = f"{command.line} {SERVED.format(url=url)}"
                command = replace(command, name=f"{command.name}-served", line=line)
            print(row_of(runs, command), flush=True)


def options_of(
    described: str | None, commands: Sequence[Command], add: Callable[[argparse.ArgumentParser], Any]
) -> argparse.Namespace:
    """The options of a benchmark that runs `commands`: which of them, where run folders stay, and its own ones."""
    names = [command.name for command in commands]
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all unless given")
    parser.add_argument("--runs", type=Path, help="where the run folders stay; a temporary folder unless given")
    add(parser)
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no command {', '.join(unknown)}; there are {', '.join(names)}")
    return options


@contextlib.contextmanager
def folder_of(runs: Path | None) -> Iterator[Path]:
    """The folder of all runs: the one that was given, or a temporary one."""
    with tempfile.TemporaryDirectory() as folder:
        found = (runs or Path(folder)).resolve()
        found.mkdir(parents=True, exist_ok=True)
        yield found


def row_of(runs: Path, command: Command, values: Mapping[str, str] = MappingProxyType({})) -> str:
    """A command's row of the table; it is run first where its run folder is not there. `values` are what its line names
    besides {runs} and {hard}."""
    took = run(runs, command.name, command.line, command.statuses, values)
    with contextlib.closing(RunFolder.open(runs / command.name)) as done:
        return f"| `crucible {command.line}` | {took:.0f} | {command.headline(done)} |"


def run(
    runs: Path, name: str, line: str, statuses: tuple[int, ...], values: Mapping[str, str] = MappingProxyType({})
) -> float:
    """Seconds that the command took, now or when it was run into this folder."""
    took = runs / f"{name}.seconds"
    if not took.is_file():
        hard = ROOT / "pipelines" / "configs" / "hard_student.yaml"
        if "{hard}" in line:
            made = crucible(runs, "student", ["student", "--config", str(hard)])
            values = {**values, "hard": made.splitlines()[-1]}
        began = time.monotonic()
        arguments = shlex.split(line.format(runs=runs, **values))
        crucible(runs, name, [*arguments, "--name", name, "--runs", str(runs)], statuses)
        took.write_text(f"{time.monotonic() - began:.1f}")
    return float(took.read_text())


def crucible(runs: Path, name: str, arguments: list[str], statuses: tuple[int, ...] = (0,)) -> str:
    """What a command printed; what it said of its progress goes to a log."""
    log = runs / f"{name}.log"
    with open(log, "w") as said:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    if done.returncode not in statuses:
        raise SystemExit(f"{name} failed: {log.read_text()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
