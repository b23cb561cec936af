"""Marked fields: who has set them, and what `auto` means in options and files."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from problems.auto import AUTO, as_set, is_auto, unset, without_word


class Section(BaseModel):
    model_config = ConfigDict(frozen=True)

    rate: Annotated[float, AUTO] = Field(default=0.1, gt=0)
    name: str = "auto"


class Whole(BaseModel):
    section: Section = Section()
    other: Section = Section(rate=0.5)
    count: Annotated[int, AUTO] = 3


def test_what_is_given_is_set_and_a_sections_own_default_too():
    assert list(unset(Whole())) == ["section.rate", "count"]
    assert list(unset(Whole(count=3, section=Section(rate=0.1)))) == []
    assert list(unset(Whole.model_validate({"section": {"name": "x"}}))) == ["section.rate", "count"]
    assert list(unset(Whole().model_copy(update={"count": 4}))) == ["section.rate"]


def test_plain_data_leaves_out_what_nobody_set_and_makes_the_same_again():
    config = Whole(section=Section(name="x"))
    data = as_set(config)
    assert data == {"section": {"name": "x"}, "other": {"rate": 0.5, "name": "auto"}}
    again = Whole.model_validate(data)
    assert again == config and list(unset(again)) == list(unset(config))


def test_the_word_is_taken_out_of_marked_fields_alone():
    data = {"section": {"rate": "auto", "name": "auto"}, "count": "auto"}
    assert without_word(Whole, data) == {"section": {"name": "auto"}}
    assert data["count"] == "auto", "the data itself is left alone"


def test_marks_leave_checks_as_they_are():
    assert is_auto(Section.model_fields["rate"]) and not is_auto(Section.model_fields["name"])
    with pytest.raises(ValidationError):
        Section(rate=0)
