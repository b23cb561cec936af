"""UNDO on 2,000 boxed problems in NuminaMath's layout with two teachers: a vLLM server and engines of the run's own.

    python -m benchmarks.undo_teachers FOLDER [--port 8123] [--steps 500]

Makes in FOLDER what is not there yet: the data (sums and differences in words, with worked solutions), four suites in
the layouts of MATH-500, GSM8K, MMLU-Pro and SVAMP, a tiny teacher that was pretrained on such questions with and
without hints, and a tiny student that has hardly been. Then it runs `crucible undo` with both teachers, half of the
questions each, and prints the table of iterations and suites. A run that was ended goes on when the same command is
given again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from problems.problem import Problem
from problems.sources import SourceConfig, read
from tests.servers import SECRET, serve_messages

ROOT = Path(__file__).resolve().parents[1]
ROWS, PRETRAINED = 2000, 6000
LARGEST = 19
NAMES = ("Ann", "Ben", "Cara", "Dan", "Eve", "Finn", "Gus", "Hana", "Ida", "Jon", "Kim", "Leo")
THINGS = ("apples", "books", "coins", "dolls", "eggs", "flags", "gems", "hats", "keys", "maps")
MORE = (
    "{n} has {a} {t} and gets {b} more. How many {t} has {n}?",
    "A box holds {a} {t}, another one {b}. How many {t} are in both?",
    "{n} found {a} {t} and later {b} {t}. How many is that in all?",
)
FEWER = (
    "{n} had {a} {t} and gave {b} away. How many {t} are left?",
    "Of {a} {t} {b} were sold. How many {t} remain?",
)
SOLVE = "Solve it step by step and put the answer into a box."
"""The teacher's instructions: tiny models read short ones."""


def question(rng: random.Random) -> tuple[str, str, int]:
    """A question, its one step, and its answer."""
    more = rng.random() < 0.6
    a, b = sorted((rng.randint(1, LARGEST), rng.randint(1, LARGEST)), reverse=not more)
    text = rng.choice(MORE if more else FEWER).format(n=rng.choice(NAMES), t=rng.choice(THINGS), a=a, b=b)
    answer = a + b if more else a - b
    return text, f"{a} {'+' if more else '-'} {b} = {answer}", answer


def different(seed: int, count: int) -> list[tuple[str, str, int]]:
    """So many questions, none twice."""
    rng, found = random.Random(seed), {}
    while len(found) < count:
        one = question(rng)
        found[one[0]] = one
    return list(found.values())


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def numina(found: tuple[str, str, int]) -> dict[str, Any]:
    """A row of NuminaMath-CoT."""
    text, step, answer = found
    solution = f"The numbers of the question give {step}.\nThe answer is $\\boxed{{{answer}}}$."
    return {"problem": text, "solution": solution, "source": "synthetic_math", "messages": []}


def make_data(folder: Path) -> None:
    """The training data and the suites."""
    write(folder / "numina.jsonl", [numina(found) for found in different(0, ROWS)])
    rng = random.Random(1)
    every = different(2, 180)
    math, letters = [], []
    for n in range(60):
        a, b = rng.randint(1, LARGEST), rng.randint(1, LARGEST)
        math.append({"problem": f"What is {a} + {b}?", "answer": str(a + b), "level": 1, "unique_id": f"m/{n}"})
        text, _, answer = every[n]
        options = rng.sample([answer, answer + 1, answer + 2, answer + 10], 4)
        letters.append({"question_id": n, "question": text, "options": [str(o) for o in options], "category": "math",
                        "answer": "ABCD"[options.index(answer)]})  # fmt: skip
    write(folder / "suites" / "math500.jsonl", math)
    write(folder / "suites" / "mmlu_pro_math.jsonl", letters)
    gsm = [{"question": text, "answer": f"{step}\n#### {answer}"} for text, step, answer in every[60:120]]
    write(folder / "suites" / "gsm8k.jsonl", gsm)
    svamp = []
    for n, (text, _, answer) in enumerate(every[120:]):
        body, _, asked = text.rpartition(". ")
        svamp.append({"ID": f"s-{n}", "Body": f"{body}.", "Question": asked, "Answer": float(answer)})
    write(folder / "suites" / "svamp.jsonl", svamp)


def problems_in(path: Path) -> list[Problem]:
    """Of NuminaMath's layout."""
    return list(read(SourceConfig(mapping="numina_math_cot", path=str(path), split="train", prove=False)))


def teacher_texts(problem: Problem, text: str, rng: random.Random) -> Iterator[str]:
    """What a teacher may be asked about a problem: alone, with a hint, and after an error."""
    from pipelines.jobs.undo.prompts import Mistake, ask, rework

    yield text
    if rng.random() < 0.4:
        yield ask(text, problem, "answer")
    if rng.random() < 0.3:
        wrong = f"{rng.randint(0, 40)} + 1 = {rng.randint(0, 40)}\n\\boxed{{{rng.randint(0, 40)}}}"
        before = rng.choice(("", f"\\boxed{{{problem.hidden_tests[0].expected}}}"))
        shown = rework(text, before, Mistake(problem, wrong, f"{rng.randint(0, 40)} is not the answer"), [])
        yield ask(shown, problem, rng.choice(("none", "answer")))


def make_models(folder: Path, steps: int) -> None:
    """A teacher and a student of one vocabulary."""
    from pipelines.jobs.undo.prompts import REWORK_SYSTEM
    from pipelines.student import train_tokenizer
    from rollout.prompts import PromptBuilder, PromptConfig
    from train.pretrain import ArchitectureConfig, PretrainConfig, Row, build_model, prepare_cpu, pretrain

    path = folder / "pretraining.jsonl"
    found = different(3, PRETRAINED)
    write(path, [numina(one) for one in found])
    problems, rng = problems_in(path), random.Random(4)
    plain = PromptBuilder(None)
    texts = [plain.message(problem) for problem in problems]
    answers = [f"{step}\n\\boxed{{{answer}}}" for _, step, answer in found]
    asked = [list(teacher_texts(problem, text, rng)) for problem, text in zip(problems, texts, strict=True)]
    corpus = (text for group, answer in zip(asked, answers, strict=True) for text in (*group, answer))
    tokenizer = train_tokenizer(corpus, 700)
    told = PromptBuilder(tokenizer, PromptConfig(system=f"{SOLVE}\n\n{REWORK_SYSTEM}"))
    own = PromptBuilder(tokenizer)
    of_teacher = [
        Row(told.conversation([("user", text)]).ids, told.encode_completion(answer))
        for group, answer in zip(asked, answers, strict=True)
        for text in group
    ]
    of_student = [
        Row(own.conversation([("user", text)]).ids, own.encode_completion(answer))
        for text, answer in list(zip(texts, answers, strict=True))[:1000]
    ]
    prepare_cpu()
    for name, rows, count in (("teacher", of_teacher, steps), ("student", of_student, 150)):
        model = build_model(
            ArchitectureConfig(), vocabulary=len(tokenizer), eos_id=tokenizer.eos_token_id,
            pad_id=tokenizer.pad_token_id, seed=0,
        )  # fmt: skip

        def show(step: Any, name: str = name) -> None:
            if step.number % 50 == 0:
                print(f"{name}: step {step.number}, loss {step.loss:.3f}", flush=True)

        pretrain(model, rows, PretrainConfig(steps=count), show)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


def make_config(folder: Path, port: int) -> Path:
    """The run's configuration: two teachers, half of the questions each."""
    names = ("math500", "gsm8k", "mmlu_pro_math", "svamp")
    config = {
        "model": str(folder / "student"),
        "problems": {
            "parts": [
                {"source": {"mapping": "numina_math_cot", "path": str(folder / "numina.jsonl"), "split": "by_hash"}}
            ]
        },
        "suites": [f"{name}={folder}/suites/{name}.jsonl" for name in names],
        "train_problems": 1500, "val_problems": 150, "test_problems": 0, "iterations": 3, "max_tokens": 24,
        "train_errors": 0, "fall": "interval",
        "teacher": {
            "model": "tiny", "protocol": "openai", "base_url": f"http://127.0.0.1:{port}",
            "key_variable": "TEACHER_KEY", "temperature": 0.0, "max_tokens": 24, "concurrency": 16,
            "prompts": str(folder / "prompts"), "cache": str(folder / "cache"),
            "others": [{"model": str(folder / "teacher"), "protocol": "engine"}],
        },
        "sft": {"epochs": 3, "lora_r": 64, "lora_alpha": 128.0, "target_modules": "all-linear", "optimiser": "muon",
                "learning_rate": 0.01, "batch_size": 16, "grad_accumulation": 1},
    }  # fmt: skip
    (folder / "prompts").mkdir(exist_ok=True)
    (folder / "prompts" / "boxed.jinja").write_text(SOLVE)
    path = folder / "undo.yaml"
    path.write_text(json.dumps(config, indent=1))
    return path


def main() -> int:
    """Makes what is missing, serves the teacher and runs UNDO."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where data, models and the run lie")
    parser.add_argument("--port", type=int, default=8123, help="of the vLLM server")
    parser.add_argument("--steps", type=int, default=500, help="of the teacher's pretraining")
    parser.add_argument("--make", action="store_true", help="make data and models, and end")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not (folder / "numina.jsonl").is_file():
        make_data(folder)
    if not (folder / "student" / "config.json").is_file():
        make_models(folder, options.steps)
    if options.make:
        return 0
    config = make_config(folder, options.port)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends the server too
    with serve_messages(folder / "teacher", folder / "server.log", seconds=900, port=options.port):
        command = ["undo", "--config", str(config), "--name", "undo", "--runs", str(folder / "runs"), "--or-resume"]
        environment = {**os.environ, "TEACHER_KEY": SECRET, "COLUMNS": "160"}
        job = subprocess.Popen([sys.executable, "-m", "pipelines.cli", *command], cwd=ROOT, env=environment)
        try:
            return job.wait()
        finally:
            job.terminate()
            job.wait()


if __name__ == "__main__":
    sys.exit(main())
