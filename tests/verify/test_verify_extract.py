"""Programs are extracted from completions of every form, and nothing is executed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.extract import _plainly_defines, extract_code
from verify.source import outline

F = "def f(x):\n    return x + 1"


def run(text: str, name: str = "f"):
    """Executes an extracted program; for trusted text only."""
    found = extract_code(text, name)
    assert found.code is not None, found.reason
    namespace: dict = {}
    exec(found.code, namespace)
    return namespace[name]


FORMS = {
    "fence": f"```python\n{F}\n```",
    "no label": f"```\n{F}\n```",
    "other label": f"```Python3.11\n{F}\n```",
    "odd label": f"```{{.python}}\n{F}\n```",
    "wrong label": f"```javascript\n{F}\n```",
    "tildes": f"~~~py\n{F}\n~~~",
    "four ticks": f"````python\n{F}\n````",
    "unterminated": f"Here:\n```python\n{F}",
    "prose around": f"Sure! Here's what I'd do:\n\n```python\n{F}\n```\n\nIt's simple, isn't it?",
    "bare": F,
    "bare with prose": f"Sure, here's the code:\n\n{F}\n\nThis adds one to x.",
    "windows lines": f"```python\n{F}\n```".replace("\n", "\r\n"),
    "list item": "1. First:\n   ```python\n   def f(x):\n       return x + 1\n   ```\n2. Done",
    "quotation": "> ```python\n> def f(x):\n>     return x + 1\n> ```",
    "one line": "Use `def f(x): return x + 1` for this.",
    "example after": f"```python\n{F}\n```\nUse it so:\n```python\nprint(f(2))\n```",
    "shell before": f"```bash\npip install nothing\n```\n```python\n{F}\n```",
    "wrong first, right last": f"```python\ndef f(x):\n    return 0\n```\nNo, rather:\n```python\n{F}\n```",
    "thinking": f"<think>\n```python\ndef f(x):\n    return 0\n```\n</think>\n```python\n{F}\n```",
    "thinking not opened": f"hm\n```python\ndef f(x):\n    return 0\n```\n</think>\n\n```python\n{F}\n```",
    "class": "```python\nclass Solution:\n    def f(self, x):\n        return x + 1\n```",
    "class, own name": "```python\nclass Solution:\n    def addOne(self, x):\n        return x + 1\n```",
    "class recursion": "class Solution:\n    def f(self, x, n=3):\n        return self.f(x, n - 1) if n else self._h(x)\n"
    "    def _h(self, x):\n        return x + 1\n",
    "class and helper": "```python\nimport math\n\ndef one():\n    return math.floor(1.5)\n\nclass Solution:\n"
    "    def f(self, x):\n        return x + one()\n```",
    "renamed": "```python\ndef add_one(x):\n    return x + 1\n```",
    "renamed with helper": "```python\ndef helper(x):\n    return x\n\ndef add_one(x):\n    return helper(x) + 1\n```",
    "helper in block before": "```python\nfrom math import floor\n```\nand\n```python\ndef f(x):\n    return x + floor(1.5)\n```",
    "lambda": "```python\nf = lambda x: x + 1\n```",
    "decorated": "```python\nfrom functools import lru_cache\n\n@lru_cache(None)\ndef f(x):\n    return x + 1\n```",
    "fence in docstring": '```python\ndef f(x):\n    """\n    ```\n    f(1)\n    ```\n    """\n    return x + 1\n```',
    "def in docstring": '```python\n"""\ndef f(x): wrong\n"""\ndef f(x):\n    return x + 1\n```',
    "annotated": "```python\nfrom typing import List\n\ndef f(x: int) -> int:\n    return x + 1\n```",
    "main block": "```python\ndef f(x):\n    return x + 1\n\nif __name__ == '__main__':\n    print(f(2))\n```",
    "multi-line signature": "```python\ndef f(\n    x,\n    y=1,\n):\n    return x + y\n```",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    assert run(FORMS[form])(2) == 3


def test_camel_case_is_the_same_name():
    assert run("```python\ndef coinChange(x):\n    return x\n\ndef other(x):\n    return 0\n```", "coin_change")(5) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 42.",
        "def is a word, and class too",
        "```\n```",
        "```python\nfrom typing import List\nx = 3\n```",
        "```python\ndef one(x): return 1\ndef two(x): return 2\n```",
        "```python\nclass Helper:\n    def go(self): return 1\n```",
        "<think>\n```python\ndef f(x):\n    return x\n```",
    ],
)
def test_no_program(text):
    found = extract_code(text, "f")
    assert found.code is None and found.reason


def test_completeness():
    assert extract_code(f"```python\n{F}\n```", "f").complete
    assert not extract_code(f"```python\n{F}", "f").complete
    assert not extract_code(F, "f").complete
    assert not extract_code("<think>so", "f").complete


def test_nothing_is_executed(tmp_path):
    trap = tmp_path / "trap"
    code = f"open({str(trap)!r}, 'w')\ndef f(x=open({str(trap)!r}, 'w')): pass"
    extract_code(f"```python\n{code}\n```", "f")
    assert not trap.exists()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_accepted(text):
    found = extract_code(text, "f")
    assert (found.code is None) == bool(found.reason)


_PIECES = st.sampled_from(
    [
        "```",
        "```python\n",
        "~~~",
        "\n",
        "def f(x):",
        "class Solution:",
        "    ",
        '"""',
        "'",
        "(",
        "]",
        "\\",
        "#",
        "<think>",
        "</think>",
        "return x",
        "import os\n",
        "f = ",
        "@",
        ">",
        "`",
        "x y",
        "\t",
        "\x0c",
        "\r",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_mixture_of_markup(text):
    found = extract_code(text, "f")
    assert (found.code is None) == bool(found.reason)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=40).map("".join))
def test_the_fast_path_agrees_with_the_outline(text):
    if _plainly_defines(text, "f"):
        assert "f" in outline(text).names


_NAMES = st.from_regex(r"[a-z]{2,8}", fullmatch=True).filter(lambda n: n not in ("is", "in", "if", "or", "as"))
_PROSE = st.lists(
    st.sampled_from(
        ["Here", "is", "what", "I'd", "do", ".", "It's", "the", "answer", ",", "don't", "worry", ":", "(so)"]
    ),
    max_size=12,
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(_PROSE, _PROSE, st.sampled_from(["python", "", "py", "Python"]), st.integers(-9, 9), st.booleans())
def test_fenced_code_comes_back(before, after, label, number, solution):
    body = f"    x = '''a\nb'''\n    return {number}  # it's\n"
    if solution:
        code = "class Solution:\n    def f(self):\n" + f"        return {number}\n"
    else:
        code = f"def f():\n{body}"
    assert run(f"{before}\n\n```{label}\n{code}```\n\n{after}")() == number


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from("([{)]}'\"\\\n#`"), max_size=2000).map("".join))
def test_scan_is_linear(text):
    extract_code(text * 20 + "\ndef f(x): return 1\n", "f")
