"""What several tests of data sets need: tiny files in the layouts of public data sets, and short cuts."""

from pathlib import Path

import yaml

from problems.sources import SourceConfig, read

FIXTURES = Path(__file__).parent / "fixtures"
FILES = {
    "aime24": "aime24.jsonl",
    "aime25": "aime25.jsonl",
    "boxed": "boxed.jsonl",
    "functions": "functions.json",
    "gpqa": "gpqa.csv",
    "gpqa_diamond": "gpqa.csv",
    "gsm8k": "gsm8k.jsonl",
    "humaneval": "humaneval.jsonl.gz",
    "livecodebench": "livecodebench.jsonl",
    "math500": "math500.jsonl",
    "mbpp": "mbpp.jsonl",
    "mbpp_sanitized": "mbpp_sanitized.jsonl",
    "mmlu_pro_math": "mmlu_pro",
    "numina_math_cot": "numina_math_cot.parquet",
    "svamp": "svamp.json",
}

MATHS = {"name": "m", "statement": "{q}", "answer": {"column": "a"}}
"""A mapping of questions `q` and answers `a`."""


def gold(problem):
    return problem.hidden_tests[0].expected


def passes(judge, problem, answer):
    return judge.judge(problem, answer).passed


def script_set(folder):
    folder.mkdir(parents=True)
    (folder / f"{folder.name}.py").write_text("import datasets\n")
    (folder / "test.jsonl").write_text('{"question_id": "1"}\n')


def load_hub(mapping, folder):
    (folder / "hub.yaml").write_text(yaml.safe_dump(mapping))
    return list(read(SourceConfig(mapping=str(folder / "hub.yaml"))))
