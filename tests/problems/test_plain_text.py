"""Foreign text on a terminal: it prints, and does nothing else."""

import ast
import io
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from problems.plain_text import LONGEST_LINE, one_line, plain_text, shown

ROOT = Path(__file__).resolve().parents[2]
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = st.lists(
    st.sampled_from([*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *BIDI, "\u2028", "\ud800", "[/INST]",
                     "[link=http://x]", "\x1b[31m", "\x1b]8;;http://x\x1b\\", "\x1b[2J", ":smile:", "é", "\r\n"])
).map("".join)  # fmt: skip


def printed(thing, **options):
    shows = io.StringIO()
    Console(file=shows, force_terminal=True, color_system=None, width=200, **options).print(thing)
    return shows.getvalue()


@settings(deadline=None, max_examples=50)
@given(HOSTILE)
def test_no_control_character_is_left(text):
    found = plain_text(text)
    assert all(c in "\t\n" or unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in found)
    assert not set(BIDI) & set(found) and plain_text(found) == found
    line = one_line(text)
    assert "\n" not in line and "\t" not in line and len(line) <= LONGEST_LINE


@settings(deadline=None, max_examples=50)
@given(HOSTILE)
def test_a_console_and_a_table_show_it_as_it_is(text):
    table = Table(title=shown(text))
    table.add_column(shown(text))
    table.add_row(shown(text))
    for output in (printed(shown(text, "red")), printed(table)):
        assert not set(output) & ({"\x1b", "\r", "\x07", "\x08", "\x9b"} | set(BIDI))


@pytest.mark.parametrize(
    "text", ["[/INST]", "[bold]", "[link=http://x]a[/link]", "[red]", ":smile:", "\\[x]", "a  b", "[1, 2]"]
)
def test_brackets_are_brackets(text):
    assert printed(shown(text)) == text + "\n"


@pytest.mark.parametrize("text", ["", "def f(x):\n\treturn 'é😀👩‍👩‍👧'", "שלום", "日本語 naïve", "a\u00a0b", "नमस्ते"])
def test_honest_text_stays(text):
    assert plain_text(text) == text


def test_ends_of_lines_and_colours_of_logs():
    assert plain_text("a\r\nb\r10 %\r\x1b[36m(actor)\x1b[0m c") == "a\nb\n10 %\n(actor) c"
    assert one_line("a\r\n  b\tc\n") == "a b c" and one_line("x" * 5000).endswith("…")


def test_much_text_costs_little():
    began = time.process_time()
    assert len(one_line("\x1b[31m\r" * 10_000_000)) <= LONGEST_LINE
    plain_text("\x1b[3" * 1_000_000)
    assert time.process_time() - began < 3


def test_no_console_is_handed_a_text_that_it_would_take_for_markup():
    found = []
    for path in (path for room in ("pipelines", "problems", "verify") for path in (ROOT / room).rglob("*.py")):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "rich" in source else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "print":
                texts = [a for a in node.args if any(isinstance(n, ast.JoinedStr | ast.BinOp) for n in ast.walk(a))]
                found += [
                    f"{path}:{node.lineno}"
                    for text in texts
                    if not (isinstance(text, ast.Call) and getattr(text.func, "id", "") == "shown")
                ]
    assert not found
