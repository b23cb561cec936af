"""`crucible verify run | probe | attack | soak | chaos`: judge one program, show what this machine enforces, run
a folder of attacks, judge very many programs, judge programs while processes are killed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from problems.plain_text import one_line, shown
from problems.problem import Problem, Verdict
from problems.rows import SourceError, read_rows
from verify.attacks.folder import KINDS, BadFolder, load
from verify.attacks.run import Trial, trials
from verify.config import VerifyConfig
from verify.pool import Judge, ProcessInfo
from verify.sandbox.executor import Sandbox
from verify.sandbox.probe import DENIALS, FIXES, IsolationTooLow, is_missing, probe
from verify.sandbox.worker import ZygoteDied
from verify.soak_test import chaos, is_flat, soak

_ATTACK_CONFIG = VerifyConfig(cpu_seconds=1.5, wall_factor=5.0, recycle_after=1_000_000, cache=False)


class CannotRun(ValueError):
    """The request cannot be carried out; the message names the fix."""


class RunArgs(BaseModel):
    """Judge one program and print its verdict as JSON; exit status 0 if it passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problem: Path
    """A JSON file with a problem as `Problem.to_row` writes it, or a JSONL file of such rows."""
    code: Path
    """A file with the program or, with `--completion`, with a model's completion."""
    id: str = ""
    """Id of the problem in a JSONL file; by default the first one."""
    completion: bool = False
    """Extract the program from the file as from a model's completion."""
    config: VerifyConfig = VerifyConfig(cache=False)
    """Limits and the minimum isolation."""


class ProbeArgs(BaseModel):
    """Show what this machine can enforce; exit status 0 if the isolation level is at least `min_isolation`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: VerifyConfig = VerifyConfig()
    """Limits and the minimum isolation."""


class AttackArgs(BaseModel):
    """Run a folder of programs with a manifest.json; exit status 1 if an attack won or an honest program failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with the programs and their manifest.json."""
    ray: bool = False
    """Run them in a Ray actor instead of this process."""
    only: str = ""
    """Run only programs whose name starts with this (and all setup programs)."""
    only_kind: str = ""
    """Run only programs of this kind: attack, compat or semantics (and all setup programs)."""
    config: VerifyConfig = _ATTACK_CONFIG
    """Limits and the minimum isolation."""


class SoakArgs(BaseModel):
    """Judge many programs with one zygote and print its memory; exit status 1 if it grew."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: int = Field(default=24_000, ge=120)
    """Programs to judge."""


class ChaosArgs(BaseModel):
    """Judge programs while processes are killed at random; exit status 1 if a verdict was wrong or missing, or if a
    process is left behind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: int = Field(default=5000, ge=1)
    """Programs to judge."""
    kills: int = Field(default=200, ge=0)
    """Processes to kill meanwhile, spread evenly over the jobs."""
    actors: int = Field(default=0, ge=0)
    """Ray actors to judge with, which are killed too; 0: a judge in this process."""
    seed: int = 0
    """Seed of the random choice of what is killed, and when."""


def run(args: RunArgs) -> int:
    """Judges one program."""
    problem = _load_problem(args.problem, args.id)
    if not args.code.is_file():
        raise CannotRun(f"{args.code} does not exist; give the program's file with --code")
    text = args.code.read_bytes().decode("utf-8", "surrogateescape")
    with Judge(args.config) as judge:
        verdict = judge.judge(problem, text) if args.completion else judge.judge_code(problem, text)
    print(json.dumps(verdict.to_row(), indent=1))
    return 0 if verdict.passed else 1


def _load_problem(path: Path, problem_id: str) -> Problem:
    try:
        problems = [Problem.from_row(row) for row in _problem_rows(path)]
    except OSError as error:
        raise CannotRun(f"the problem file {path} cannot be read: {error.strerror}") from None
    except SourceError as error:
        raise CannotRun(str(error)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CannotRun(f"{path} does not hold problems as Problem.to_row writes them: {error}") from None
    found = [problem for problem in problems if problem_id in ("", problem.id)]
    if not found:
        raise CannotRun(f"{path} has no problem {problem_id!r}; it has {', '.join(p.id for p in problems[:5])}")
    return found[0]


def _problem_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix != ".jsonl":
        yield json.loads(path.read_text())
        return
    for row in read_rows(path):
        if row.error:
            raise SourceError(f"{row.file}:{row.number}: {row.error}")
        yield row.values


def show_probe(args: ProbeArgs) -> int:
    """Prints what this machine enforces."""
    with Sandbox(args.config) as sandbox:
        found = probe(sandbox)
        space = sandbox.zygote().report
    table = Table("feature", "state", "fix", title="What this machine provides for the sandbox")
    for name, state in found.features.items():
        table.add_row(name, shown(state), FIXES[name] if is_missing(state) else "")
    table.add_row("separate root folder", "yes" if space.get("root") else "no", "")
    table.add_row("thread limit", "by the kernel" if space.get("threads") else "by the watchdog", "")
    attempts = Table("attempt of the canary", "refused", "by", title="What a child attempted")
    for name, refused in found.refused.items():
        attempts.add_row(name, "yes" if refused else shown("NO", "red"), DENIALS[name])
    console = Console()
    console.print(table, attempts)
    enough = found.level >= args.config.min_isolation
    least = f"at least {args.config.min_isolation} is configured"
    console.print(
        shown(f"isolation level {found.level} ({least}):"), shown("enough") if enough else shown("too low", "red")
    )
    return 0 if enough else 1


def attack(args: AttackArgs) -> int:
    """Runs a folder of programs and prints the results."""
    kinds = ("setup", args.only_kind) if args.only_kind else KINDS
    everything = [p for p in load(args.folder) if p.kind in kinds]
    programs = [p for p in everything if p.kind == "setup" or p.name.startswith(args.only)]
    if args.ray:
        with RayTarget(args.config) as target:
            finished = list(trials(programs, target))
    else:
        with Judge(args.config) as target:
            finished = list(trials(programs, target))
    return show_trials(finished)


class RayTarget:
    """A verify actor as the target of attacks; starts a local Ray if none is running."""

    def __init__(self, config: VerifyConfig):
        import ray

        from verify.pool import start_actor

        self._ray, self._own = ray, _own_ray()
        self._actor = start_actor(config, num_cpus=1)

    def judge_code(self, problem: Problem, code: str) -> Verdict:
        """Judges a bare program in the actor."""
        return self._ray.get(self._actor.judge_code.remote(problem, code))

    def process_info(self) -> ProcessInfo:
        """The actor's processes."""
        return self._ray.get(self._actor.process_info.remote())

    def __enter__(self) -> RayTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.kill(self._actor)
        if self._own:
            self._ray.shutdown()


def _own_ray() -> bool:
    """Starts a local Ray, on 127.0.0.1 only (as `cluster.connect` does), if none is running; True if it did."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # read when Ray is imported
    import ray

    if ray.is_initialized():
        return False
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    before = os.umask(0o077)  # Ray writes its token to this user's home with it
    try:
        ray.init(address="local", num_cpus=2, **quiet)
    finally:
        os.umask(before)
    return True


def show_soak(args: SoakArgs) -> int:
    """Judges many programs and prints memory as it goes."""
    samples = []
    for sample in soak(args.jobs):
        samples.append(sample)
        parent, zygote = sample.parent / 1024, sample.zygote / 1024
        figures = f"parent {parent:.1f} MiB, zygote {zygote:.1f} MiB, {sample.descriptors} descriptors"
        print(f"{sample.jobs:>6} jobs: {figures}", flush=True)
    flat = is_flat(samples)
    print("memory is flat" if flat else "memory grew")
    return 0 if flat else 1


def show_chaos(args: ChaosArgs) -> int:
    """Judges programs while processes are killed and prints the result."""
    own = bool(args.actors) and _own_ray()
    result = chaos(args.jobs, args.kills, actors=args.actors, seed=args.seed)
    if own:
        import ray

        ray.shutdown()
    faults = f"{result.wrong} wrong verdicts, {result.unjudged} missing ones, {len(result.left)} processes left behind"
    print(f"{result.jobs} jobs, {result.kills} processes killed: {faults}")
    return 0 if result.ok else 1


def show_trials(finished: Iterable[Trial]) -> int:
    """Prints a table of trials; returns 1 if one of them shows a failure of the sandbox."""
    table = Table("program", "kind", "verdict", "tests", "seconds", "traces", "result")
    counts = {"attack": 0, "compat": 0, "semantics": 0}
    failed = 0
    for trial in finished:
        counts[trial.program.kind] += 1
        failed += trial.fails
        verdict = trial.verdict
        result = shown("WON", "red") if trial.won else shown("REFUSED", "red") if trial.refused else shown("ok")
        tests = f"{verdict.tests_passed}/{verdict.tests_total}"
        row = (trial.program.name, trial.program.kind, str(verdict.status), tests, f"{trial.seconds:.2f}")
        table.add_row(*map(shown, row), shown(", ".join(trial.traces)), result)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    console.print(shown(f"{summary}; the sandbox failed at {failed or 'none'} of them"))
    return 1 if failed else 0


_COMMANDS: dict[str, tuple[type[BaseModel], Callable[[Any], int]]] = {
    "run": (RunArgs, run),
    "probe": (ProbeArgs, show_probe),
    "attack": (AttackArgs, attack),
    "soak": (SoakArgs, show_soak),
    "chaos": (ChaosArgs, show_chaos),
}
_RENAMED = {"storm": "chaos"}
"""Former names of commands."""


def main(argv: list[str] | None = None) -> int:
    """The command line of `crucible verify`. Returns the exit status: 2 if nothing could be run."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in _RENAMED:
        print(f"crucible verify: {argv[0]} is now called {_RENAMED[argv[0]]}; use that name", file=sys.stderr)
        return 2
    if not argv or argv[0] not in _COMMANDS:
        print(f"usage: crucible verify {{{','.join(_COMMANDS)}}} [--help]", file=sys.stderr)
        return 0 if argv[:1] in (["--help"], ["-h"]) else 2
    model, command = _COMMANDS[argv[0]]
    args = tyro.cli(model, args=argv[1:], prog=f"crucible verify {argv[0]}")
    try:
        config = getattr(args, "config", None)
        if config is not None and config.labels:
            raise CannotRun("--config.labels has no effect: this command runs programs on this machine; leave it out")
        return command(args)
    except (CannotRun, BadFolder, IsolationTooLow, TimeoutError, ZygoteDied) as error:
        print(f"crucible verify {argv[0]}: {one_line(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
