"""The tests of the systems that Crucible brings together, in their plain contracts, as far as two cores take them.

    python -m benchmarks.originals [NAME ...] [--model FOLDER] [--runs FOLDER]

Writes a row of a table for each as soon as it has ended. `grid`, `hard` and `focused` are the shipped suites of three
systems on the default student, which has never seen a plain contract. `traces`, `tuned` and `baseline` are the
fine-tuning baseline: verified traces of its eleven families, learnt by the default student, and at the baseline's own
settings and number of traces by the model of `--model`. What is in the folder of runs already is not run again.
"""

from __future__ import annotations

from benchmarks.commands import HEADER, Command, folder_of, kept, options_of, row_of, rows, share
from pipelines.artifacts.run_folder import RunFolder
from pipelines.measure.suites import load_suite

FAMILIES = " ".join(load_suite("sft_baseline")["problems"]["families"])


def measured(folder: RunFolder) -> str:
    """pass@1 of each evaluation, and by bands of difficulty where there are several."""
    said = []
    for row in rows(folder, "evaluation"):
        bands = {name: found for name, found in row.get("bands", {}).items() if found}
        parts = ", ".join(f"{name} {found['value']:.1%}" for name, found in bands.items())
        said.append(f"{row['name']} {share(row['pass_at']['1'])}" + f" ({parts})" * (len(bands) > 1))
    return "; ".join(said)


COMMANDS = (
    Command("grid", "evaluate --suite sft_baseline --evaluation.per-cell 5 --evaluation.samples 4", measured, (0, 3)),
    Command("hard", "evaluate --suite hard_distil --evaluation.per-cell 50", measured, (0, 3)),
    Command("focused", "evaluate --suite focused", measured),
    Command(
        "traces",
        f"distil --count 20 --problems.contract classic --problems.difficulties 3 7 --problems.families {FAMILIES}",
        kept,
    ),
    Command(
        "tuned",
        "sft --config pipelines/configs/original/sft_baseline.yaml --traces {runs}/traces --model student "
        "--sft.learning-rate 0.003 --sft.batch-size 8 --sft.grad-accumulation 1 --max-tokens 160",
        measured,
        (0, 3),
    ),
    Command(
        "baseline",
        "sft --config pipelines/configs/original/sft_baseline.yaml --traces {runs}/traces --model {model} "
        "--data.shuffle 0 --data.limit 66 --max-tokens 160",
        measured,
        (0, 3),
    ),
)


def main() -> None:
    """Runs what is not done, and prints the table."""
    model_help = "folder or id of a pretrained model, for `baseline`"
    options = options_of(__doc__, COMMANDS, lambda parser: parser.add_argument("--model", help=model_help))
    with folder_of(options.runs) as runs:
        print(HEADER, flush=True)
        for command in COMMANDS:
            wanted = command.name in options.names if options.names else options.model or "{model}" not in command.line
            if wanted:
                print(row_of(runs, command, {"model": options.model or "student"}), flush=True)


if __name__ == "__main__":
    main()
