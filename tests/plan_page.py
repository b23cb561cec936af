"""Writes docs/plan.md from what `crucible plan` prints: python -m tests.plan_page > docs/plan.md"""

import json
import tempfile
from pathlib import Path

from pipelines.plan import report
from tests.known_models import FOUR, QWEN3_06B, QWEN3_4B, QWEN25_7B

MACHINES = {
    "One H100": ("H100", FOUR),
    "Eight H100": ("H100:8", FOUR),
    "An H100, an A100 of 40 GiB and two L4": ("H100,A100@40,L4:2", FOUR),
    "One card of 24 GiB": ("GeForce-RTX-4090", FOUR),
    "Two CPU cores and 23.5 GiB": ("none", {"Qwen3-0.6B": QWEN3_06B, "Qwen3-4B": QWEN3_4B, "Qwen2.5-7B": QWEN25_7B}),
}
HEAD = """\
# What a job takes, and its defaults

This page is written by `python -m tests.plan_page > docs/plan.md`, from what the command prints.

Options that depend on the model, on the hardware or on the job are `auto` unless you set them. When a job starts it
fills them and records what it filled in `config.yaml` of the run folder; a resumed run uses that record. What you set
by an option or in a file wins, and the others follow from it: `--rollout.sampling.max-tokens 6000` makes
`max_model_len` grow, `--train.lora-r 64` makes `lora_alpha` 128. The default student has its own figures, on whatever
hardware.

`crucible plan` shows all this before anything starts: which engine and which learner worker would be on which device,
what each would take there in GiB, and each default with its reason. It plans for this machine, for the cluster that
`--address` names, or with `--gpus` for machines that are not there:

```bash
crucible plan grpo --gpus H100:8
crucible plan grpo --gpus H100:8 --rollout.sampling.max-tokens 4096
crucible plan evaluate --gpus L4:2,MyCard@24:1
```

The same summary, in short, is printed when a job opens its engines. It comes from the places that are then reserved
([hardware](hardware.md)). What does not fit is refused with what would.

- Weights, keys and values, adapters, optimiser, activations and the head's block of logits are counted from the sizes
  in the model's config.json; contexts, libraries and captured graphs are allowances (`other`).
- An engine that has its GPU to itself uses 0.9 of its memory: what it does not need is room for keys and values.
- At most 0.95 of a device is planned with.
- All GPUs are used. One: engine and learner share it. Several: one in three learns, the largest first and all of one
  kind, and the others sample, each kind with its own settings. `--rollout.engines` and `--train.workers` change that.
- A learning rate above 5e-4 is warned of, except for the default student.
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
    with tempfile.TemporaryDirectory() as folder:
        for name, config in FOUR.items():
            path = Path(folder) / name
            path.mkdir()
            (path / "config.json").write_text(json.dumps(config))
        for title, (gpus, models) in MACHINES.items():
            machine = ["--gpus", gpus, "--cpus", "2", "--memory", "23.5"] if gpus == "none" else ["--gpus", gpus]
            parts.append(f"\n## {title}\n\n`crucible plan {' '.join(machine)} --model MODEL` shows of each model:\n")
            for name in models:
                parts.append(f"```\n{_table(machine, Path(folder) / name)}\n```\n")
            if title == "One H100":
                parts.append(
                    f"And of Qwen3-4B its defaults:\n\n```\n{_defaults(machine, Path(folder) / 'Qwen3-4B')}\n```\n"
                )
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _table(machine, model):
    """Who is where, and the warnings; or the refusal."""
    try:
        text = report(["--model", str(model), *machine])
    except ValueError as error:
        return str(error)
    lines = text.splitlines()
    begin = lines.index(next(line for line in lines if line.startswith("Defaults")))
    warnings = [line for line in lines[begin:] if line.startswith("Warning")]
    return "\n".join([*lines[: begin - 1], *warnings])


def _defaults(machine, model):
    text = report(["--model", str(model), *machine])
    return text[text.index("Defaults") :]


if __name__ == "__main__":
    print(page(), end="")
