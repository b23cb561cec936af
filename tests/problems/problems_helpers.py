"""Where the tiny made-up files in the layouts of public data sets lie."""

from pathlib import Path

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
