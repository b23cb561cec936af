"""How a teacher is asked: template files with exemplars, one for each kind of answer that is wanted.

code.jinja        the instructions for problems that a program answers
boxed.jinja       for those that a final answer answers, in a box
yes_no.jinja      for those that are answered by YES or NO
correction.jinja  what an answer that failed is sent back with

The shipped files are beside this one, in `prompts/`. A folder of the user's own (`teacher.prompts`) may replace any of
them; its files use the same names: style (direct or think), kind (function, stdin, assert or answer), and in a
correction detail, which says why the answer fails.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

import jinja2

from problems.plain_text import one_line
from problems.problem import Problem
from rollout import templates
from rollout.prompts import Style

Name = Literal["code", "boxed", "yes_no", "correction"]

SHIPPED = Path(__file__).parent / "prompts"
NAMES: tuple[Name, ...] = ("code", "boxed", "yes_no", "correction")
_OF_ANSWERS: tuple[Name, ...] = ("boxed", "yes_no")
_CODE_KINDS = ("function", "stdin", "assert")
_STYLES: tuple[Style, ...] = ("direct", "think")


def template_of(problem: Problem) -> Name:
    """The file whose instructions fit a problem."""
    if problem.kind != "answer":
        return "code"
    return "yes_no" if problem.checker.partition(":")[0] == "yes_no" else "boxed"


class TeacherPrompts:
    """The instructions that a teacher gets. Raises ValueError for a folder or a file that cannot be used."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def system(self, problem: Problem, style: Style) -> str:
        """The system message: alike for all problems of a kind, so that servers can keep it in their cache."""
        return self._rendered(template_of(problem), style=style, kind=problem.kind)

    def correction(self, problem: Problem, style: Style, detail: str) -> str:
        """What a failed answer to a problem is sent back with."""
        return self._rendered("correction", style=style, kind=problem.kind, detail=detail)

    def check(self) -> None:
        """Renders every file in every way that it may be asked for, so that none fails after answers were paid for."""
        for style in _STYLES:
            for kind in _CODE_KINDS:
                self._rendered("code", style=style, kind=kind)
            for name in _OF_ANSWERS:
                self._rendered(name, style=style, kind="answer")
            for kind in (*_CODE_KINDS, "answer"):
                self._rendered("correction", style=style, kind=kind, detail="wrong answer")

    @cached_property
    def _files(self) -> dict[str, Path]:
        files: dict[str, Path] = {name: SHIPPED / f"{name}.jinja" for name in NAMES}
        if self._folder is None:
            return files
        if not self._folder.is_dir():
            raise ValueError(f"teacher.prompts: there is no folder {self._folder}")
        own = {path.stem: path for path in sorted(self._folder.glob("*.jinja"))}
        unknown = sorted(own.keys() - set(NAMES))
        if unknown or not own:
            has = f"{unknown[0]}.jinja, which is none" if unknown else "none"
            raise ValueError(f"teacher.prompts: {self._folder} has {has} of {', '.join(f'{n}.jinja' for n in NAMES)}")
        return files | own

    @cached_property
    def _compiled(self) -> dict[str, jinja2.Template]:
        found = {}
        for name, path in self._files.items():
            try:
                found[name] = templates.compiled(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, jinja2.TemplateError) as error:
                raise ValueError(f"teacher.prompts: {path}: {one_line(error, 300)}") from None
        return found

    def _rendered(self, name: Name, **values: str) -> str:
        template = self._compiled[name]
        try:
            text = templates.rendered(template, **values).strip()
        except Exception as error:  # whatever a template of anybody's makes of its values
            names = ", ".join(sorted(values))
            why = one_line(error, 300) or type(error).__name__
            raise ValueError(f"teacher.prompts: {self._files[name]}: {why}; it may use {names}") from None
        if not text:
            raise ValueError(f"teacher.prompts: {self._files[name]} makes no text for {values['kind']}")
        return text
