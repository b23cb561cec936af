"""Irregular forms that models write: misplaced fences, end tokens, thinking, programs in several blocks."""

import contextlib
import io
import sys
import time

import pytest
from cases import problem_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_folder import cases

from problems.problem import Status
from problems.thinking import closing_of, left_open
from verify.config import VerifyConfig
from verify.extract import extract_code
from verify.pool import Judge, JudgeRows
from verify.source import outline
from verify.thinking import continued

F = "def f(x):\n    return x + 1"
DRAFT = "def f(x):\n    return 0"
OPENED = "<|im_start|>assistant\n<think>\n"
"""The end of a prompt whose chat template opens the thinking."""


def run(text: str, name: str = "f"):
    """Executes an extracted program; for trusted text only."""
    found = extract_code(text, name)
    assert found.code is not None, found.reason
    namespace: dict = {"__name__": "solution"}
    exec(found.code, namespace)
    return namespace[name]


@pytest.fixture(scope="module")
def judge():
    with Judge(VerifyConfig()) as judge:
        yield judge


@pytest.mark.parametrize("case", cases("extraction"))
def test_cases(case, judge):
    prompt = OPENED if "opened" in case["kind_of_fault"] else ""
    verdict = judge.judge(problem_of(case), case["completion"], case["finish_reason"], prompt)
    assert verdict.passed == (case["expected"] == "passed"), verdict


FENCES = {
    "closed on the last line": f"```python\n{F}```",
    "closed on the last line, with a space": f"```python\n{F} ```\nIt adds one.",
    "closed on the last line, then an example": f"```python\n{F}```\nUse it:\n```python\nprint(f(2))\n```",
    "closed on the last line, then a block of text": f"```python\n{F}```\n\n```\nO(1)\n```",
    "closed on a comment": f"```python\n{F}  # one more```",
    "closed on the last line, tildes": f"~~~python\n{F}~~~",
    "prose after the closing fence": f"```python\n{F}\n``` This adds one.",
    "prose after a fence on the last line": f"```python\n{F}\n```This adds one.\n\nDone.",
    "a tag after the closing fence": f"<answer>\n```python\n{F}\n```</answer>",
    "a tag in front of the opening fence": f"<answer>```python\n{F}\n```</answer>",
    "prose in front of the opening fence": f"Here is the code: ```python\n{F}\n```",
    "prose in front of an opening fence without label": f"Here is the code: ```\n{F}\n```",
    "opened only by the prompt": f"{F}\n```\nIt adds one.",
    "opened only by the prompt, then an example": f"{F}\n```\nFor example:\n```python\nprint(f(2))\n```",
    "opened only by the prompt, closed on the last line": f"{F}```",
    "opened only by the prompt, tildes": f"{F}\n~~~",
    "prose, code, and a closing fence": f"Sure:\n\n{F}\n```",
    "markdown around": f"```markdown\nThe solution:\n```python\n{F}\n```\n```",
    "md around, prose after": f"```md\n# Solution\n```python\n{F}\n```\nIt adds one.\n```\nThat's all.",
    "markdown around by a longer fence": f"````markdown\nThe solution:\n```python\n{F}\n```\n````",
    "a longer fence around": f"````\n```python\n{F}\n```\n````",
    "a longer fence with prose around": f"`````text\nThe solution:\n\n```python\n{F}\n```\n`````",
    "tildes around": f"~~~\n```python\n{F}\n```\n~~~",
    "tildes with a label around": f"~~~markdown\n```py\n{F}\n```\n~~~",
    "a fence without label around": f"```\n```python\n{F}\n```\n```",
    "the same fence twice": f"```python\n```python\n{F}\n```\n```",
    "never closed before the next": f"```python\n{DRAFT}\n\nNo, rather:\n```python\n{F}\n```",
    "closed by a shorter fence": f"````python\n{F}\n```\nIt adds one.",
    "closed by a longer fence": f"```python\n{F}\n`````\nIt adds one.",
    "attributes": f'```python title="f.py" linenums\n{F}\n```',
    "a label with a version": f"```python3.12\n{F}\n```",
    "a fence on a line of a docstring": f'```python\n{F[:10]}\n    """Use it so: ```\n    f(1)\n    ```\n    """\n{F[10:]}\n```',
    "a fence in a docstring that ends a line": '```python\ndef f(x):\n    """So ```f(1)```\n    and ```f(2)```\n    """\n'
    "    return x + 1\n```",
    "a labelled fence in a docstring": '```python\ndef f(x):\n    """\n```python\nf(1)\n```\n    """\n    return x + 1\n```',
    "opened by tildes, closed by ticks": f"~~~python\n{F}\n```\nIt adds one.",
    "opened by ticks, closed by tildes": f"```python\n{F}\n~~~\nIt adds one.",
    "an underline in a docstring": '```python\ndef f(x):\n    """\nTitle\n~~~~~\n    """\n    return x + 1\n```',
    "in a numbered list": f"1. ```python\n{F}\n```\n2. Done",
    "square brackets": f"[PYTHON]\n{F}\n[/PYTHON]",
    "code tags": f"<code>\n{F}\n</code>",
    "a quotation with prose": "> Here:\n> ```python\n> def f(x):\n>     return x + 1\n> ```\n> Done.",
    "output after": f"```python\n{F}\n```\nOutput:\n```\n3\n```",
}


@pytest.mark.parametrize("form", FENCES)
def test_fences(form):
    assert run(FENCES[form])(2) == 3


TOKENS = ["<|im_end|>", "<|eot_id|>", "</s>", "<|endoftext|>", "<end_of_turn>", "<|end|>", "<|return|>", "<|eom_id|>"]
TOKENS += ["<|end_of_text|>", "<｜end▁of▁sentence｜>", "<eos>", "[EOS]", "<|END_OF_TURN_TOKEN|>", "<|endofprompt|>"]


@pytest.mark.parametrize("token", TOKENS)
def test_end_tokens(token):
    for text in (f"```python\n{F}\n```{token}", f"```python\n{F}\n``` {token}\n", f"```python\n{F}```{token}",
                 f"```python\n{F}\n```\n{token}", f"{F}{token}", f"{F}\n{token}{token}", f"```python\n{F}{token}",
                 f"```python\n{F}\n```{token}\n<|im_start|>user\nThanks\n```python\n{DRAFT}\n```"):  # fmt: skip
        assert run(text)(2) == 3
    quoted = f"```python\ndef f(x):\n    return x.split({token!r})\n```{token}"
    assert run(quoted)(f"a{token}b") == ["a", "b"]


THINKING = {
    "channels": "<|channel|>analysis<|message|>Draft\n```python\n{d}\n```<|end|><|start|>assistant<|channel|>final"
    "<|message|>```python\n{f}\n```<|return|>",
    "channels with commentary": "<|channel|>analysis<|message|>{d}<|end|><|start|>assistant<|channel|>commentary<|message|>"
    "I will write it.<|end|><|start|>assistant<|channel|>final<|message|>```python\n{f}\n```",
    "channels without their tokens": "analysisWe need f.\n```python\n{d}\n```assistantfinal```python\n{f}\n```",
    "directly after a fence": "<think>\n```python\n{d}\n```</think>```python\n{f}\n```",
    "after an open fence": "<think>\n```python\n{d}\n</think>\n```python\n{f}\n```",
    "after an open docstring": '<think>\n```python\ndef f(x):\n    """Draft.\n</think>\n```python\n"""Mine."""\n{f}\n```',
    "not opened": "```python\n{d}\n```</think>\n```python\n{f}\n```",
    "thinking": "<thinking>```python\n{d}\n```</thinking>\n```python\n{f}\n```",
    "thought": "<thought>{d}</thought>\n{f}",
    "reasoning": "<reasoning>\n{d}\n</reasoning>\n```python\n{f}\n```",
    "square brackets": "[THINK]```python\n{d}\n```[/THINK]```python\n{f}\n```",
    "begin of thought": "<|begin_of_thought|>{d}<|end_of_thought|>\n```python\n{f}\n```",
    "Kimi": "◁think▷{d}◁/think▷```python\n{f}\n```",
    "mentioned in the thinking": "<think>I end with `</think>` and say '</think>' then.\n```python\n{d}\n```</think>\n"
    "```python\n{f}\n```",
    "twice": "<think>a</think>\n```python\n{d}\n```\n<think>No.</think>\n```python\n{f}\n```",
    "empty": "<think>\n\n</think>\n\n```python\n{f}\n```",
    "in a string": "<think>ok</think>\n```python\nT = 'x</think>y'\n{f}\n```",
    "in a string in double quotes": '```python\nT = ["<think>", "</think>"]\n{f}\n```',
    "in a string of several lines": '<think>ok</think>\n```python\nT = """\n<think>\n</think>\n"""\n{f}\n```',
    "in an f-string, without a fence": "T = f'</think>{{1}}'\n{f}",
    "channel in a string": "```python\nT = '<|channel|>analysis<|message|>'\n{f}\n```",
    "in backticks after the code": "<think>a</think>\n```python\n{f}\n```\nI closed with `</think>`.",
}


@pytest.mark.parametrize("form", THINKING)
def test_thinking(form):
    assert run(THINKING[form].format(d=DRAFT, f=F))(2) == 3


INSIDE = {
    "cut off": ("", f"<think>```python\n{F}\n```\nBut wait"),
    "opened by the prompt": (OPENED, f"So:\n```python\n{F}\n```\nBut wait"),
    "opened by the prompt, nothing but code": (OPENED, F),
    "opened by the prompt in another tag": ("<|user|>x<thinking>", f"```python\n{F}\n```"),
    "opened by the prompt in brackets": ("[/INST][THINK]", f"```python\n{F}\n```"),
    "a channel opened by the prompt": ("<|start|>assistant<|channel|>analysis<|message|>", f"```python\n{F}\n```"),
    "a channel": ("", f"<|channel|>analysis<|message|>```python\n{F}\n```"),
    "opened once more": ("", f"<think>a</think>\nHm.\n<think>\n```python\n{F}\n```"),
    "opened after a word": ("", f"Sure.\n<think>\n```python\n{F}\n```"),
    "closed in a string only": (OPENED, f"```python\nT = '</think>'\n{F}\n```"),
}


@pytest.mark.parametrize("reason", ["stop", "length"])
@pytest.mark.parametrize("form", INSIDE)
def test_a_draft_in_the_thinking_is_not_an_answer(form, reason, judge):
    prompt, completion = INSIDE[form]
    case = {"id": form, "problem": {"kind": "function", "entry_point": "f", "checker": "exact", "signature": "",
                                    "tests": [{"args": [2], "expected": 3}]}}  # fmt: skip
    status = judge.judge(problem_of(case), completion, reason, prompt).status
    assert status is (Status.TRUNCATED if reason == "length" else Status.UNPARSED)
    answered = f"{completion}\n{closing_of(left_open(prompt) or '<think>')}\n```python\n{F}\n```"
    if "channel" not in form:
        assert judge.judge(problem_of(case), answered, reason, prompt).passed


@pytest.mark.parametrize("prompt", ["", "Say <think> first.\nassistant\n", "<think>\n\n</think>\n\n", "x</think>"])
def test_prompts_that_do_not_open_thinking(prompt):
    assert left_open(prompt) == "" and continued(prompt, F) == F


def test_rows_are_judged_with_their_prompts():
    problem = problem_of({"id": "rows", "problem": {"kind": "function", "entry_point": "f", "checker": "exact",
                          "signature": "", "tests": [{"args": [2], "expected": 3}]}}).to_row()  # fmt: skip
    stage = JudgeRows(VerifyConfig())
    text = f"```python\n{F}\n```"
    rows = {"problem": [problem] * 3, "text": [text] * 3, "finish_reason": ["stop"] * 3}
    judged = stage({**rows, "prompt": ["", OPENED, None]})["verdict"]
    assert [row["status"] for row in judged] == ["passed", "unparsed", "passed"]
    assert [row["status"] for row in stage(rows)["verdict"]] == ["passed"] * 3
    stage.judge.close()


STRUCTURE = {
    "under try": "try:\n    import nothing_of_this_name\n    def f(x):\n        return 0\nexcept ImportError:\n"
    "    def f(x):\n        return x + 1",
    "under if": "import sys\nif sys.version_info > (3,):\n    def f(x):\n        return x + 1",
    "under else": "if not __name__:\n    pass\nelse:\n    def f(x):\n        return x + 1",
    "under with": "import contextlib\nwith contextlib.suppress(ImportError):\n    def f(x):\n        return x + 1",
    "under for": "for k in (1,):\n    def f(x, k=k):\n        return x + k",
    "deeper": "if True:\n    try:\n        def f(x):\n            return x + 1\n    finally:\n        pass",
    "assigned under if": "if True:\n    f = lambda x: x + 1",
    "a class under try": "try:\n    class Solution:\n        def f(self, x):\n            return x + 1\nexcept ValueError:\n"
    "    pass",
    "another name under if": "if True:\n    def add_one(x):\n        return x + 1",
}


@pytest.mark.parametrize("form", STRUCTURE)
def test_definitions_in_module_level_blocks(form):
    assert run(f"```python\n{STRUCTURE[form]}\n```")(2) == 3


def test_names_of_functions_and_scripts_are_not_module_level():
    code = (
        "class A:\n    def f(self): pass\ndef g():\n    def h(): pass\nif __name__ == '__main__':\n    def k(): pass\n"
    )
    source = outline(code)
    assert source.names == {"A", "g"} and source.functions == ["g"] and source.classes == {"A": ["f"]}


MAIN = "x, y = map(int, input().split())\nprint(x * y)"
SOLVE = "def solve():\n    x, y = map(int, input().split())\n    print(x * y)"
PROGRAMS = {
    "text after": f"```python\n{MAIN}\n```\nComplexity:\n```\nO(1) time, O(1) space\n```",
    "an equation after": f"```python\n{MAIN}\n```\nFor the sample:\n```\n4 * 6 = 24\n```",
    "a named equation after": f"```python\n{MAIN}\n```\nSo:\n```\nx * y = 24\n```",
    "a sample after": f"```python\n{MAIN}\n```\nInput:\n```\n4 6\n```\nOutput:\n```\n24\n```",
    "a sample after, labelled": f"```python\n{MAIN}\n```\n```python\n4 6\n```",
    "a call of the shell after": f"```python\n{MAIN}\n```\n```\n$ python3 main.py < in.txt\n24\n```",
    "steps after": f"```python\n{MAIN}\n```\n```\n1. read x and y\n2. print the product\n```",
    "a formula after": f"```python\n{MAIN}\n```\n```\nresult = x times y\n```",
    "a demonstration after": f"```python\n{MAIN}\n```\nFor example:\n```python\nprint(4 * 6)  # 24\n```",
    "an assertion after": f"```python\n{SOLVE}\n\nsolve()\n```\nTest:\n```python\nassert 4 * 6 == 24\n```",
    "a session after": f"```python\n{MAIN}\n```\n```python\n>>> 4 * 6\n24\n```",
    "the call once more after": f"```python\n{SOLVE}\n\nsolve()\n```\nIt is run by\n```python\nsolve()\n```",
    "the call in the next block": f"```python\n{SOLVE}\n```\nRun it:\n```python\nsolve()\n```",
    "the call under the usual guard": f"```python\n{SOLVE}\n```\n```python\nif __name__ == '__main__':\n    solve()\n```",
    "the call in the next block, twice": f"```python\n{SOLVE}\n```\n```python\nsolve()\n```\nor\n```python\nsolve()\n```",
    "imports in a block of their own": f"```python\nimport sys\n```\n```python\n{MAIN.replace('input()', 'sys.stdin.readline()')}\n```",
    "helpers in a block of their own": "```python\ndef product(a, b):\n    return a * b\n```\nThen\n```python\n"
    "x, y = map(int, input().split())\nprint(product(x, y))\n```",
    "three blocks": "```python\ndef product(a, b):\n    return a * b\n```\n```python\ndef main():\n"
    "    print(product(*map(int, input().split())))\n```\n```python\nmain()\n```",
    "reading, then printing": "```python\nx, y = map(int, input().split())\n```\nThen\n```python\nprint(x * y)\n```",
    "a first try before": f"```python\nx, y = map(int, input().split())\nprint(x + y)\n```\nNo:\n```python\n{SOLVE}\nsolve()\n```",
    "a test generator after": f"```python\n{MAIN}\n```\n```python\nimport random\nprint(random.random())\n```",
    "a label that is not Python": f"```text\n{MAIN}\n```",
    "no label": f"```\n{MAIN}\n```",
    "bare": MAIN,
}


@pytest.mark.parametrize("form", PROGRAMS)
def test_whole_programs(form, monkeypatch):
    found = extract_code(PROGRAMS[form])
    assert found.code is not None, found.reason
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("4 6\n"))
    with contextlib.redirect_stdout(printed):
        exec(found.code, {"__name__": "__main__"})
    assert printed.getvalue() == "24\n"


def test_a_cut_off_program_in_two_blocks_is_not_complete():
    assert extract_code(f"```python\n{SOLVE}\n```\nRun it:\n```python\nsolve()\n```").complete
    assert not extract_code(f"```python\n{SOLVE}\n```\nRun it:\n```python\nsolve()").complete


PIECES = [
    "`", "```", "```\n", "```python\n", "````\n", "~~~\n", "~~~\n```\n", "```markdown\n", "x```\n", "```x\n", "```x ",
    "(", ")", "[", "{", '"', "'", '"""', "'''", "\\", '\\"', "\"\\", '"""\\', "#", "\n", " ", "\t", "> ", "a ", "a,",
    "a=", "a = ", "a:", "=", "= ", "a.", "1", "1.", "@", "@a(", "if ", "if x:\n", " if x:\n", "def ", "def f", "def g(",
    "def g(x): g(1)\n", "async ", "async def ", "class A:\n", " def f(self): pass\n", "import ", "import a,", "from a ",
    "return ", "for i in ", "<think>", "</think>", "<think>\n", "'</think>", '"</think>"', "\"\"\"</think>", "[/THINK]",
    "<|channel|>", "<|channel|>final<|message|>", "<|end|>", "<|im_end|>", "analysis", "assistantfinal", "\r", "\r\n",
    "\x0c", "é", "𝔁", "\ud800", "x y ", "f(x) ", "`def f(x", "`python def f(", "lambda: ", "x if ", "a[", "a]", "*a, ",
    "rb", "```\ndef g(x): pass\n", "a = 1\n```\n", "    x = 1\n", "\"'", "'\"", "x'", "(?:", "a  b", "print(", "a = b\n",
]  # fmt: skip
CHARACTERS = 40_000
BOUND = 1.0
"""CPU seconds for the longest text, on a busy machine; a quadratic algorithm takes many times that."""


def cpu_of(text: str, name: str, bound: float = BOUND) -> float:
    # The minimum of three, because the load of the machine varies.
    taken = []
    while len(taken) < 3 and min(taken, default=bound) >= bound:
        begun = time.process_time()
        extract_code(text, name)
        taken.append(time.process_time() - begun)
    return min(taken)


@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_any_length_is_read_in_linear_time(piece):
    text = piece * (CHARACTERS // len(piece))
    assert cpu_of(f"a{text}b", "") < BOUND
    assert cpu_of(f"<think>\n{text[: CHARACTERS // 2]}\n</think>\n```python\n{text}\n```", "f") < BOUND


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join), st.sampled_from(["f", ""]))
def test_any_mixture_of_any_length_is_read_in_linear_time(unit, name):
    assert cpu_of(unit * (CHARACTERS // len(unit)), name) < BOUND


def text_of(case: dict) -> str:
    if "repeat" in case:
        piece, count = case["repeat"]
        return "".join(piece.replace("{i}", str(i)) for i in range(count))
    before, piece, count, after = case["repeat_between"]
    return before + piece * count + after


@pytest.mark.parametrize("case", cases("lengths", lambda case: case.get("kind") == "function"))
def test_lengths(case):
    for text in (text_of(case), f"```python\n{text_of(case)}\n```"):
        bound = case["bound_cpu_seconds"]
        assert cpu_of(text, case["entry_point"], bound) < bound


@pytest.mark.parametrize(
    "line",
    ["def g{i}(x):\n    return x\n", "def g{i}(x):\n    return g{i}(x)\n", "g{i} = {i}\n", "import m{i}\n",
     "class C{i}:\n    def g(self): pass\n", "```python\ng{i} = 1\n```\n", "```python\ndef g{i}(): g0()\n```\n",
     "if x{i}:\n    def g{i}(): pass\n", "```l{i}\nx\n```\n", "class C{i}:\n    def a{i}(self): pass\n    def b(self): pass\n"],
)  # fmt: skip
def test_many_names_are_read_in_linear_time(line):
    for name in ("f", ""):
        text = "".join(line.replace("{i}", str(i)) for i in range(2500))
        assert cpu_of(text, name) < BOUND
