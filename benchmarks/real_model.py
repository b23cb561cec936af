"""The five systems on a pretrained model of a few hundred million parameters, as far as two cores take them.

    python -m benchmarks.real_model --model FOLDER [NAME ...] [--runs FOLDER]

Writes a row of a table for each command as soon as it has ended: its seconds, engine start included, and its figures
with 95 % intervals. `base` and `base-words` show that a model which was never taught to answer can be measured at all,
on programs and on word problems; each of the five systems has its own commands, with a control beside it where one is
wanted. What is in the folder of runs already is not run again, so a name may be given by itself. The sizes are chosen
for a model of 270 million and have not all been timed.
"""

from __future__ import annotations

from benchmarks.commands import (
    HEADER,
    Command,
    focused,
    folder_of,
    gated,
    judged,
    kept,
    moved,
    options_of,
    row_of,
    rows,
    taught,
)
from benchmarks.originals import FAMILIES, measured
from pipelines.artifacts.run_folder import RunFolder

PLAIN = f"--problems.contract classic --problems.families {FAMILIES}"
LEARNING = "--sft.lora-r 16 --sft.lora-alpha 32 --sft.lora-dropout 0 --sft.learning-rate 5e-4"
LEARNING += " --sft.batch-size 4 --sft.grad-accumulation 2"
GRPO = (
    f"grpo --model {{model}} --adapter {{runs}}/tuned {PLAIN} --problems.difficulties 1 3 5 --steps 24"
    " --rollout.group-size 8 --rollout.groups-per-step 6 --rollout.sampling.max-tokens 160 --train.lora-r 16"
    " --train.lora-alpha 32 --train.learning-rate 2e-4 --evaluation.problems 66 --evaluation.samples 2"
)
UNDO = (
    "undo --model {model} --problems.families word_problems --problems.difficulties 1 2 3 --val-problems 48"
    " --test-problems 96 --max-tokens 128 --sft.target-modules all-linear --sft.epochs 2 " + LEARNING
)


def shown_whole(folder: RunFolder) -> str:
    """`base`: skill, and what was cut off or could not be read."""
    (row,) = rows(folder, "evaluation")
    return f"{measured(folder)}; truncated {row['truncated']:.1%}, unparsed {row['unparsed']:.1%}"


COMMANDS = (
    Command(
        "base",
        f"evaluate --model {{model}} {PLAIN} --prompt.style complete --prompt.few-shot 4 --max-tokens 192"
        " --engine.max-model-len 2048 --evaluation.problems 44 --evaluation.samples 1 --evaluation.temperature 0.6"
        " --evaluation.min-p 0.1",
        shown_whole,
    ),
    Command(
        "base-words",
        "evaluate --model {model} --problems.families word_problems --prompt.few-shot 4 --max-tokens 192"
        " --engine.max-model-len 2048 --evaluation.problems 60 --evaluation.samples 1",
        shown_whole,
    ),
    Command("traces", f"distil {PLAIN} --problems.difficulties 1 3 5 7 10 --count 4", kept),
    Command(
        "tuned",
        f"sft --model {{model}} --traces {{runs}}/traces --evaluate True {PLAIN} --problems.difficulties 1 3 5 7 10"
        f" --evaluation.per-cell 2 --evaluation.samples 1 --max-tokens 160 --sft.epochs 2 {LEARNING}",
        measured,
    ),
    Command("on", GRPO, moved),
    Command("shuffled", f"{GRPO} --control shuffled_rewards", moved),
    Command(
        "hard",
        "hard-distil --model {model} --problems.families coin_change knapsack n_queens --problems.difficulties 1 2"
        " --count 24 --style direct --steps 10 --rollout.group-size 8 --rollout.groups-per-step 6"
        " --rollout.sampling.max-tokens 192 --train.learning-rate 1e-4 --sft.epochs 3"
        f" --evaluation.problems 60 --evaluation.temperature 0 {LEARNING}",
        gated,
        (0, 3),
    ),
    Command("words", "lrl --model {model}", judged),
    Command(
        "words-more",
        "lrl --model {model} --stages 0 4 --synthesis worked --synthesis-problems 400 --max-tokens 256"
        " --sft.target-modules all-linear --sft.epochs 2 " + LEARNING,
        judged,
    ),
    Command("errors", f"{UNDO} --train-problems 120 --iterations 2", taught),
    Command("errors-control", f"{UNDO} --train-problems 360 --iterations 0", taught),
    Command(
        "expert",
        "expert-iteration --model {model} --adapter {runs}/tuned --focus.contract classic --focus.families"
        " remove_duplicates fibonacci --general.contract classic --general.families reverse_string is_palindrome"
        " max_subarray binary_search --iterations 2 --focus-problems 32 --general-problems 32 --samples 4"
        f" --val-problems 32 --test-problems 48 --measured 2 --max-tokens 160 --sft.epochs 2 {LEARNING}",
        focused,
    ),
)


def main() -> None:
    """Runs what is not done, and prints the table."""
    model_help = "folder or id of a pretrained model"
    options = options_of(
        __doc__, COMMANDS, lambda parser: parser.add_argument("--model", required=True, help=model_help)
    )
    with folder_of(options.runs) as runs:
        print(HEADER, flush=True)
        for command in COMMANDS:
            if not options.names or command.name in options.names:
                print(row_of(runs, command, {"model": options.model}), flush=True)


if __name__ == "__main__":
    main()
