"""The `crucible` command: one verb a job. Each verb's module is imported when it runs."""

from __future__ import annotations

import difflib
import importlib
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

VERBS = {
    "grpo": ("pipelines.jobs.grpo", "train a model by GRPO on verified rewards (the main job)"),
    "sweep": ("pipelines.jobs.sweep", "many GRPO runs on one fleet of engines: which settings learn best"),
    "lrl": (
        "pipelines.jobs.lrl",
        "learn a strategy in words from a teacher's journal, and hand it to a student by LoRA",
    ),
    "undo": ("pipelines.jobs.undo", "teach a student again and again from its own errors, until validation falls"),
    "expert-iteration": (
        "pipelines.jobs.expert",
        "learn a few families from own verified samples, and forget nothing else",
    ),
    "evaluate": ("pipelines.jobs.evaluate", "pass@1 and pass@k of a model or adapter on held-out problems"),
    "distil": (
        "pipelines.jobs.distil",
        "have a teacher write worked traces, and keep those that pass every hidden test",
    ),
    "sft": ("pipelines.jobs.sft", "fine-tune a LoRA adapter on verified traces"),
    "hard-distil": ("pipelines.jobs.hard_distil", "distil traces of hard families, fine-tune on them, go on by GRPO"),
    "plan": ("pipelines.plan", "what a job would take of which device, and its defaults with their reasons"),
    "token": (
        "pipelines.remote.cluster_token",
        "make the token that a Ray cluster asks for, and bring it to the nodes",
    ),
    "submit": ("pipelines.remote.submit", "run a command on a Ray cluster, from outside of it"),
    "jobs": ("pipelines.remote.jobs", "list, follow and stop submitted jobs, and fetch their run folders"),
    "doctor": ("pipelines.remote.doctor", "what of a machine, a live cluster or a manifest would break a run"),
    "push": ("pipelines.publish.command", "upload a run's data and adapters to the Hugging Face Hub"),
    "export": ("pipelines.publish.export", "a run's adapter, or the model with it merged in, as a proven folder"),
    "report": ("pipelines.report", "write the report of a run folder again, also of one that is unfinished"),
    "options": ("pipelines.option_pages", "all options of all commands, as a page of Markdown"),
    "student": ("pipelines.student", "make the default student, a tiny model pretrained here"),
    "verify": ("verify.cli", "the sandbox: judge a program, probe this machine, run hostile programs"),
    "problems": ("pipelines.measure.problem_set", "list, show and validate the problem families, try a data set"),
}
ALIASES = {"distill": "distil"}


def main() -> None:
    """Entry point of the console script."""
    try:
        status = dispatch(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        if not is_unread(sys.stdout):
            raise
        # Whoever read the output has had enough, as `head` has. What is still buffered has nowhere to go at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    sys.exit(status)


def is_unread(stream: TextIO) -> bool:
    """Whether a stream is a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def dispatch(argv: Sequence[str]) -> int:
    """Runs a verb with its arguments and returns the exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    verb, *rest = argv
    verb = ALIASES.get(verb, verb)
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, [*VERBS, *ALIASES], n=1)
        hint = f"did you mean {near[0]}?" if near else f"\n\n{usage()}"
        print(f"crucible: there is no command {verb!r}; {hint}", file=sys.stderr)
        return 2
    return int(importlib.import_module(VERBS[verb][0]).main(rest) or 0)


def usage() -> str:
    """The list of verbs."""
    width = max(map(len, VERBS))
    also = {verb: f" (also: {alias})" for alias, verb in ALIASES.items()}
    lines = [f"  {verb:<{width}}  {what}{also.get(verb, '')}" for verb, (_, what) in VERBS.items()]
    return "\n".join(
        ["usage: crucible COMMAND [options]", "", *lines, "", "crucible COMMAND --help shows a command's options."]
    )


if __name__ == "__main__":
    main()
