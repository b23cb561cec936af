"""A data set folder and a model folder of strangers, each with every trick: one clear line each, nothing changed."""

import base64
import gzip
import json
import pickle
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from problems import arrow_files, text_files
from problems.problem import decode_value
from problems.rows import SourceError
from problems.sources import Report, SourceConfig, read
from rollout import templates
from rollout.adapter import check_adapter_config, check_adapter_shapes
from rollout.model_files import brought_by, load_config, load_tokenizer, read_prompt
from rollout.policy import PolicyVersion
from rollout.prompts import PromptConfig, message

MIB = 2**20
GOOD = b'{"question": "1 + 1", "answer": "#### 2"}\n'
NAMED = {"ARROW:extension:name": "ray.data.arrow_pickled_object", "ARROW:extension:metadata": ""}


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def listing(folder):
    return sorted((str(p.relative_to(folder)), p.stat().st_mode, p.stat().st_size) for p in folder.rglob("*"))


def bench(private):
    row = {"question_content": "q", "public_test_cases": "[]", "starter_code": "", "metadata": "{}", "question_id": "1",
           "difficulty": "easy", "platform": "x", "question_title": "t", "contest_date": ""}  # fmt: skip
    return json.dumps({**row, "private_test_cases": base64.b64encode(zlib.compress(private, 9)).decode()}).encode()


def data_files(mark):
    deep = b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b', "answer": "#### 1"}\n'
    yield "gsm8k", "long.jsonl.gz", gzip.compress(GOOD + b'{"question": "' + b"a" * (4 * MIB) + b'"}\n')
    yield "gsm8k", "long.json.gz", gzip.compress(b'[{"question": "' + b"a" * (600 * MIB // 8) + b'"}]')
    yield "gsm8k", "long.csv.gz", gzip.compress(b'question,answer\n"' + b"a" * (4 * MIB) + b'",1\n')
    yield "gsm8k", "deep.jsonl", deep
    yield "gsm8k", "wide.jsonl", b'{"question": [' + b"{}," * (6 * MIB) + b"{}]}\n"
    yield "gsm8k", "digits.jsonl", b'{"question": ' + b"9" * 100_000 + b', "answer": "#### 1"}\n'
    yield "gsm8k", "escape\x1b[2J.jsonl", b"{\n"
    yield "gsm8k", "damaged.parquet", b"PAR1" + bytes(40) + b"PAR1"
    yield "gsm8k", "damaged.arrow", b"ARROW1" + bytes(40) + b"ARROW1"
    yield "livecodebench", "pickle.jsonl", bench(pickle.dumps(Touch(mark)))
    yield "livecodebench", "memo.jsonl", bench(b"\x80\x04r\xff\xff\xff\x7f.")
    yield "livecodebench", "size.jsonl", bench(b"\x80\x05\x8e" + (2**40).to_bytes(8, "little") + b"a.")


def test_a_hostile_data_set_folder_gives_one_line_each_and_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", MIB)
    monkeypatch.setattr("problems.rows._LONGEST_RECORD", MIB)
    monkeypatch.setattr(arrow_files, "FREE", MIB)
    import ray.data  # noqa: F401 (registers the type whose values are unpickled)

    folder, mark, kinds = tmp_path / "set", tmp_path / "mark", []
    folder.mkdir()
    for mapping, name, content in data_files(mark):
        (folder / name).write_bytes(content)
        kinds.append((mapping, name))
    field = pa.field("question", pa.large_binary(), metadata=NAMED)
    table = pa.table([pa.array([pickle.dumps(Touch(mark))], pa.large_binary())], schema=pa.schema([field]))
    pq.write_table(table, folder / "code.parquet")
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["a" * MIB]))
    pq.write_table(pa.table({"question": bomb}), folder / "bomb.parquet", compression="zstd")
    before = listing(tmp_path)
    for mapping, name in [*kinds, ("gsm8k", "code.parquet"), ("gsm8k", "bomb.parquet")]:
        report = Report()
        try:
            list(read(SourceConfig(mapping=mapping, path=str(folder / name), prove=False), report))
            lines = report.reasons
        except SourceError as error:
            lines = [str(error)]
        assert lines, name
        for line in lines:
            assert line.isprintable() and len(line) <= 2000, (name, line)
    assert listing(tmp_path) == before


def test_keys_that_share_a_hash_are_refused_and_not_compared_each_with_each():
    same = ",".join(f'{{"i":"{n * (2**61 - 1)}"}}' for n in range(5000))
    with pytest.raises(ValueError, match="same hash"):
        decode_value(f'{{"s":[{same}]}}')


TEMPLATES = [
    "{{ problem.hidden_tests }}", "{{ problem.params }}", "{{ problem.public_examples }}", "{{ 'x' * 10**10 }}",
    "{% for i in range(10**9) %}x{% endfor %}", "{{ '{:>999999999}'.format(1) }}", "{{ '%999999999d' % 1 }}",
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "{{ 2 ** (10**9) }}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "{{ ''.__class__.__mro__ }}", "{{ 'x'|center(10**9) }}",
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
]  # fmt: skip


def _weights(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
PLAIN = {A: {"dtype": "F32", "shape": [8, 2], "data_offsets": [0, 64]}}
ADAPTERS = [
    (b"[" * 100_000, _weights(PLAIN, bytes(64))), (b"[]", _weights(PLAIN, bytes(64))),
    (b'{"r": 1000000000}', _weights(PLAIN, bytes(64))), (b'{"r": 4}', _weights(PLAIN, bytes(64))),
    (b'{"rank_pattern": {"(a+)+b": 8}}', _weights(PLAIN, bytes(64))),
    (b'{"rank_pattern": [8]}', _weights(PLAIN, bytes(64))), (b"{}", b"\xff" * 20), (b"{}", _weights(b"{")),
    (b"{}", _weights({A: {"dtype": "I64", "shape": [8, 1], "data_offsets": [0, 64]}}, bytes(64))),
    (b"{}", _weights({A: {"dtype": "F32", "shape": [8, 10**9], "data_offsets": [0, 64]}}, bytes(64))),
    (b"{}", _weights(PLAIN, bytes(60))), (b"{" + b" " * 5 * MIB + b"}", _weights(PLAIN, bytes(64))),
]  # fmt: skip


def one_line_of(work):
    with pytest.raises(ValueError) as error:
        work()
    assert str(error.value).isprintable() and len(str(error.value)) < 2000, str(error.value)


def test_a_hostile_model_folder_gives_one_line_each_and_changes_nothing(tmp_path, monkeypatch, fib):
    monkeypatch.setattr(templates, "_SECONDS", 0.2)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on standard input"))
    model, mark = tmp_path / "model", tmp_path / "mark"
    model.mkdir()
    (model / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    own = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M", "AutoTokenizer": ["own.T", None]}
    (model / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": own}))
    (model / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T", "auto_map": own}))
    (model / "prompt.json").write_text(json.dumps({"system": "a\x1b[2J", "template": "x"}))
    for number, (config, weights) in enumerate(ADAPTERS):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "adapter_config.json").write_bytes(config)
        (tmp_path / str(number) / "adapter_model.safetensors").write_bytes(weights)
    before = listing(tmp_path)
    one_line_of(lambda: load_config(model))
    one_line_of(lambda: load_tokenizer(model))
    assert read_prompt(model).template == "x"
    shown = brought_by(str(model))
    assert shown.isprintable() and "never run" in shown and "a template" in shown
    for template in TEMPLATES:
        one_line_of(lambda template=template: message(fib, PromptConfig(template=template)))
    for number in range(len(ADAPTERS)):
        one_line_of(lambda number=number: _use(tmp_path / str(number)))
    assert listing(tmp_path) == before


def _use(folder):
    from rollout.adapter import tensors_of

    policy = PolicyVersion.read(folder, run="r", number=0)
    check_adapter_config(policy.lora_config, "adapter x")
    shapes = {name: tensor["shape"] for name, tensor in tensors_of(policy.weights)[0].items()}
    check_adapter_shapes(policy.lora_config, shapes, "adapter x")


@pytest.fixture
def fib():
    from problems.config import ProblemsConfig
    from problems.stream import ProblemStream

    return next(iter(ProblemStream(ProblemsConfig(), "train").range(0, 1)))
