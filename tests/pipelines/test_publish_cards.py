"""Cards: whatever models, data sets and people are called, a card's header is ours and its text is text."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import GRPOConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.publish import card
from pipelines.publish.command import job_of
from pipelines.publish.config import PublishConfig
from pipelines.publish.products import DataSet, public_name

HOSTILE = st.text(st.characters(codec="utf-8"), max_size=60) | st.lists(
    st.sampled_from(
        [
            "---\n",
            "\n",
            "license: mit",
            "```",
            "````\n",
            "<script>",
            "-->",
            "<!-- crucible: end -->",
            "[a](b)",
            "![x](y)",
            "| a |",
            "https://evil.example",
            "@me",
            "&lt;",
            "\\",
            "`",
            "{{ x }}",
            "\x1b[31m",
            "\u202e",
            "\r\n",
            "# head",
        ]
    ),
    max_size=8,
).map("".join)


def about(text="x", **more):
    told = {"command": f"crucible grpo {text}", "model": text, "license": "unknown", "figures": ((text, text),)}
    return card.About(**{**told, "facts": ((text, text),), **more})


def header_of(text):
    assert text.startswith("---\n")
    return yaml.safe_load(text[4 : text.index("\n---\n", 3) + 1])


def body_of(text):
    return text[text.index("\n---\n", 3) + 5 :]


@settings(max_examples=100, deadline=None)
@given(HOSTILE, st.booleans())
def test_no_text_from_outside_reaches_the_header_or_becomes_markup(text, is_data):
    if is_data:
        made = card.data_card(text, about(text), [DataSet("traces", 3, (text,), Path("x"))])
    else:
        made = card.model_card(text, about(text), merged=False, adapters=(text,), proof=((text, text),))
    header = header_of(made)
    known = {"license", "task_categories", "tags", "configs"} if is_data else {
        "license", "library_name", "pipeline_tag", "tags", "base_model", "base_model_relation",
    }  # fmt: skip
    assert set(header) <= known and header["license"] == "unknown"
    assert header.get("base_model", "") in ("", text)
    begin, end = card._marks("")
    assert made.count(begin) == made.count(end) == 1
    fenced = False
    fence = ""
    for line in body_of(made).splitlines():
        run = line[: len(line) - len(line.lstrip("`"))]
        if not fenced and len(run) >= 3:
            fenced, fence = True, run
        elif fenced and line == fence:
            fenced = False
        elif not fenced and line not in (begin, end):
            plain = line.replace("\\\\", "")
            assert not any(mark in card.re.sub(r"\\[!-/:-@\[-`{-~]", "", plain) for mark in "<>[]`*_")
            assert "\x1b" not in line and "\u202e" not in line
    assert not fenced


@settings(max_examples=100, deadline=None)
@given(HOSTILE, HOSTILE)
def test_a_card_of_the_hub_keeps_what_is_not_ours(before, text):
    ours = card.data_card("t", about(text), [DataSet("traces", 3, ("a",), Path("x"))])
    there = f"---\nlicense: mit\nown: kept\nconfigs:\n- config_name: other\n---\nBefore.\n\n{before}"
    try:
        first = card.merged_card(there, ours)
    except card.CardError:
        return
    again = card.merged_card(first, ours)
    header = header_of(again)
    assert header["license"] == "mit" and header["tags"] == ["crucible"]
    assert header["own"] == "kept" and [c["config_name"] for c in header["configs"]] == ["other", "traces"]
    assert "Before." in again and again == card.merged_card(again, ours), "a second time changes nothing"


def test_runs_that_share_a_repository_have_their_own_parts():
    def made(path, name="iteration-0"):
        return card.data_card(f"t {path}", about(path), [DataSet(name, 3, ("a",), Path("x"))], path)

    both = card.merged_card(card.merged_card("", made("one")), made("two"), "two")
    both = card.merged_card(both, made("one", "iteration-1"), "one")
    header = header_of(both)
    assert [c["config_name"] for c in header["configs"]] == ["one-iteration-0", "two-iteration-0", "one-iteration-1"]
    assert header["configs"][1]["data_files"] == [{"split": "train", "path": "two/iteration-0/*.parquet"}]
    assert both.count("# t one") == 1 and both.count("# t two") == 1


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ("---\na: [\n---\n", "no YAML"),
        ("---\n- a\n---\n", "without keys"),
        (f"---\n{'a' * 300000}: 1\n---\n", "256 KiB"),
    ],
)
def test_a_card_that_cannot_be_added_to_is_refused(there, says):
    with pytest.raises(card.CardError, match=says):
        card.merged_card(there, "---\nlicense: mit\n---\nours")


def test_the_command_has_what_was_set_and_nothing_of_this_machine():
    config = GRPOConfig(name="mine", steps=7, adapter="/home/someone/runs/a/adapter", model="/home/someone/models/base")
    line = card.command_of("grpo", config.model_dump(mode="json"))
    assert "--steps 7" in line and "--adapter adapter" in line and "--model base" in line
    assert "someone" not in line and "--name" not in line and "--train" not in line


@pytest.mark.parametrize(
    "secret",
    ["https://me:hunter22@host/v1", "https://host/v1?api_key=hunter22", "hf_" + "a" * 34, "sk-ant-" + "b" * 24],
)
def test_a_secret_among_the_options_keeps_the_command_back(secret):
    config = GRPOConfig(adapter=secret).model_dump(mode="json")
    line = card.command_of("grpo", config)
    assert "hunter22" not in line and secret not in line and "not shown" in line


def test_a_model_of_the_hub_keeps_its_name_and_a_folder_gives_its_last(tmp_path):
    assert public_name("owner/model") == "owner/model"
    assert public_name(str(tmp_path / "models/mine")) == "mine"


@pytest.mark.parametrize(("config", "job"), [(GRPOConfig(), "grpo"), (UndoConfig(), "undo")])
def test_the_job_of_a_run_follows_from_its_configuration(config, job):
    assert job_of(config.model_dump(mode="json")) == job
    older = {key: value for key, value in config.model_dump(mode="json").items() if key not in ("push", "publish")}
    assert job_of(older) == job


def test_the_licence_is_that_of_the_option_or_of_the_base_model():
    own = card.license_of("---\nlicense: gemma\n---\n")
    assert own == "gemma" and card.license_of("---\nlicense: [a]\n---\n") == card.license_of("text") == ""
    assert card.about("c", {}, (), "", PublishConfig(), own).license == "gemma"
    assert card.about("c", {}, (), "", PublishConfig(license="mit"), own).license == "mit"
    assert card.about("c", {}, (), "", PublishConfig()).license == "unknown"
