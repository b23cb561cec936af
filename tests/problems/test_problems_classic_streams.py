"""Plain contracts in streams: splits, what they share, and the option that chooses them."""

import pytest
from pydantic import ValidationError

from pipelines.config import GRPOConfig
from pipelines.errors import ConfigError
from pipelines.jobs.distil import select_problems
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.teacher_job_config import DistilConfig
from pipelines.options import parse
from problems import families
from problems.classic.contract import Contract, changed
from problems.config import CORE_FAMILIES, ProblemsConfig
from problems.curriculum import CurriculumConfig, Levels
from problems.questions import PartConfig, Questions, QuestionsConfig, worked_answer
from problems.reference_check import failure
from problems.split_audit import _report, hashes
from problems.splits import SPLITS
from problems.stream import ProblemStream

NAMES = tuple(name for name in families.contracts() if families.get(name).kind == "function")
FEW = {
    "fibonacci@classic",
    "fizzbuzz@bundled",
    "fizzbuzz@classic",
    "n_queens@classic",
    "parentheses@classic",
    "parentheses@v1",
}
"""Contracts whose splits share their inputs."""


def contract(name: str) -> Contract:
    family = families.get(name)
    assert isinstance(family, Contract)
    return family


def stream(name: str, split: str, **options) -> ProblemStream:
    return ProblemStream(ProblemsConfig(families=(name,), **options), split)


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_input_but_the_fixed_cases_and_those_of_which_there_are_few(name):
    shown: dict[str, set[str]] = {split: set() for split in SPLITS}
    ordinary: dict[str, set[str]] = {split: set() for split in SPLITS}
    questions: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split in SPLITS:
        for problem in stream(name, split).range(0, 25):
            fixed = set(map(repr, contract(name).fixed(problem.difficulty)))
            questions[split].add(problem.question_hash)
            shown[split] |= {repr(t.args) for t in problem.public_examples}
            asks = {repr(t.args) for t in (*problem.public_examples, *problem.hidden_tests)}
            assert not fixed & {repr(t.args) for t in problem.public_examples} and fixed <= asks
            ordinary[split] |= asks - fixed
    assert not questions["train"] & questions["val"] and not questions["val"] & questions["test"]
    assert all(contract(name).ordinary(d) > 0 for d in range(1, 11)) == (name in FEW)
    assert any(contract(name).ordinary(d) > 0 for d in range(1, 11)) == (name in FEW)
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert bool(ordinary[one] & ordinary[other]) == (name in FEW)
        assert name in FEW or not shown[one] & ordinary[other]


def test_versions_of_a_family_divide_their_inputs_alike():
    for args in (("3 4 +",), ("8 2 - 5 *",)):
        assert len({contract(name).input_split(repr(args)) for name in ("rpn@classic", "rpn@v1")}) == 1


def test_the_audit_sees_inputs_that_two_splits_ask(monkeypatch):
    config = ProblemsConfig(families=("rpn", "fibonacci", "scheduling"), contract="classic", difficulties=(1, 2))

    def report():
        return _report({split: hashes(config, split, 0, 60) for split in SPLITS})

    sound = report()
    assert sound.disjoint and sound.shared_inputs == 0 and sound.inputs > 200
    assert sound.undivided == ("fibonacci@classic",)
    monkeypatch.setattr(Contract, "sample", lambda self, rng, variant, p, d: self.draw(rng, d))
    leaking = report()
    assert leaking.shared_inputs > 0 and leaking.shared_questions == 0 and not leaking.disjoint


def test_an_instance_has_the_same_inputs_wherever_it_comes_up():
    seen = {}
    for seed in range(40):
        problem = stream("n_queens@classic", "val", difficulties=(2,), seed=seed).problem(seed)
        tests = (problem.public_examples, problem.hidden_tests)
        assert seen.setdefault(problem.question_hash, tests) == tests
    family = contract("lcs@classic")
    rngs = [family.input_rng(None, {"draw": 7}, 5) for _ in range(2)]
    assert family.draw(rngs[0], 5) == family.draw(rngs[1], 5)


def test_few_inputs_are_half_shown_and_never_shown_and_hidden():
    for hidden_tests in (4, 10, 100):
        for name in FEW:
            for problem in stream(name, "test", hidden_tests=hidden_tests, public_examples=10).range(0, 12):
                shown = {repr(t.args) for t in problem.public_examples}
                hidden = {repr(t.args) for t in problem.hidden_tests}
                assert len(shown) >= 2 and not shown & hidden and len(hidden) >= 5


# --- scheduling


def test_scheduling_has_the_sizes_and_label_shares_of_the_original():
    labels, drawn = {}, {}
    for level, (d, meetings, rooms) in {"easy": (2, {2}, {2, 3}), "medium": (5, {3, 4}, {2, 3}),
                                        "hard": (8, {4, 5, 6}, {2, 3, 4})}.items():  # fmt: skip
        problems = list(stream("scheduling@classic", "train", difficulties=(d,)).range(0, 400))
        assert {p.variant for p in problems} == {level}
        assert {len(p.params["meetings"]) for p in problems} == meetings and {
            p.params["rooms"] for p in problems
        } == rooms
        times = [pair for p in problems for pair in p.params["meetings"]]
        assert {start for start, _ in times} == {60 * hour for hour in range(9, 16)}
        assert {end - start for start, end in times} == {60, 120, 180}
        labels[level] = sum(p.hidden_tests[0].expected == "YES" for p in problems) / 400
        others = stream("scheduling", "train", difficulties=(d,)).range(0, 400)
        drawn[level] = sum(p.hidden_tests[0].expected == "YES" for p in others) / 400
    assert labels["easy"] == 1.0 and 0.83 < sum(labels.values()) / 3 < 0.93
    assert all(0.42 < share < 0.58 for share in drawn.values())


# --- options


def test_drawn_and_plain_problems_are_never_taken_for_each_other():
    both = [ProblemStream(ProblemsConfig(contract=contract), "train") for contract in ("drawn", "classic")]
    drawn, plain = [list(stream.range(0, 200)) for stream in both]
    for name in ("id", "question_hash", "content_hash"):
        assert not {getattr(p, name) for p in drawn} & {getattr(p, name) for p in plain}
    assert {p.family for p in plain} == {f"{name}@classic" for name in CORE_FAMILIES}
    assert all(p.id.startswith(f"{p.family}-d") for p in plain)
    assert {p.family.partition("@")[0] for p in plain} == {p.family for p in drawn}


def test_contract_is_chosen_for_all_families_or_for_one():
    config = ProblemsConfig(families=("lcs", "fizzbuzz@bundled", "islands@drawn"), contract="classic")
    assert config.full_names == ("lcs@classic", "fizzbuzz@bundled", "islands")
    assert ProblemsConfig.model_validate(config.model_dump(mode="json")) == config
    assert ProblemsConfig(families=("lcs", "lcs@classic")).full_names == ("lcs", "lcs@classic")
    assert "contract" not in ProblemsConfig().model_dump()  # what was recorded without it is the same
    weighted = ProblemsConfig(families=("lcs", "rpn@exp16"), contract="classic", weights={"lcs": 0})
    assert {p.family for p in ProblemStream(weighted, "val").range(0, 5)} == {"rpn@exp16"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": ("islands",), "contract": "classic"}, "islands has no classic contract.*islands@drawn"),
        ({"families": ("fizzbuzz@v2",)}, "fizzbuzz has no contract 'v2'; it has drawn, bundled, classic"),
        ({"families": ("fizzbuz@classic",)}, "did you mean 'fizzbuzz'"),
        ({"families": ("lcs@",)}, "lcs has no contract ''"),
        ({"families": ("lcs", "lcs@classic"), "contract": "classic"}, "named twice"),
        ({"families": ("lcs@classic",), "contract": "classic"}, "contract classic has no effect"),
        ({"contract": "plain"}, "'drawn' or 'classic'"),
        ({"families": ("lcs@classic",), "weights": {"lcs": 2}}, "not among the families"),
    ],
)
def test_wrong_contracts_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        ProblemsConfig(**options)


def test_every_stream_of_a_job_honours_the_contract():
    plain = ProblemsConfig(families=("lcs", "rpn@v1"), contract="classic")
    whole = Questions(QuestionsConfig(**plain.model_dump()))
    mixed = Questions(QuestionsConfig(parts=(PartConfig(procedural=plain),)))
    for questions in (whole, mixed):
        assert {p.family for p in questions.distinct("test", 12, 5)} == {"lcs@classic", "rpn@v1"}
    assert whole.part("train", 0).family(3) == whole.part("train", 0).problem(3).family
    with pytest.raises(ValidationError, match="contract would have no effect together with parts"):
        QuestionsConfig(contract="classic", parts=(PartConfig(procedural=plain),))
    problem = whole.part("val", 1).problem(0)
    assert failure(problem, worked_answer(problem)) == ""


def test_curricula_move_plain_contracts():
    levels = Levels(CurriculumConfig(schedule="self_paced"), indices_per_step=4, max_staleness=0)
    for step in range(40):
        levels.observe(step, [("lcs@classic", 1, 1.0)] * 4)
    assert min(levels.difficulties(400, "lcs@classic")) > min(levels.difficulties(400, "rpn@classic"))


def test_a_change_of_a_program_must_change_it():
    with pytest.raises(ValueError, match="no 'b' in the program"):
        changed("a", ("b", "c"))


def test_commands_and_files_choose_the_contract_of_the_families_that_a_job_asks(tmp_path):
    (tmp_path / "c.yaml").write_text("problems: {contract: classic, families: [lcs, fizzbuzz@bundled]}\n")
    config = parse(GRPOConfig, ["--config", str(tmp_path / "c.yaml"), "--problems.difficulties", "5"], prog="")
    assert config.problems.full_names == ("lcs@classic", "fizzbuzz@bundled")
    back = parse(GRPOConfig, ["--config", str(tmp_path / "c.yaml"), "--problems.contract", "drawn"], prog="")
    assert back.problems.full_names == ("lcs", "fizzbuzz@bundled")

    distil = parse(DistilConfig, ["--problems.contract", "classic", "--count", "2"], prog="")
    assert distil.problems.families == DistilConfig().problems.families  # the job's own, with the other contract
    chosen = select_problems(distil)
    assert {p.family for p in chosen} == {f"{name}@classic" for name in distil.problems.families}
    assert len({p.id for p in chosen}) == len(chosen)

    focus = ["--focus.families", "lcs", "--focus.contract", "classic", "--general.families", "lcs"]
    assert parse(ExpertConfig, focus, prog="").focus.full_names == ("lcs@classic",)
    with pytest.raises(ConfigError, match="lcs@classic cannot be focus and general"):
        parse(ExpertConfig, [*focus, "--general.contract", "classic"], prog="")
    with pytest.raises(ConfigError, match=r"islands has no classic contract; leave it out, or name it islands@drawn"):
        parse(GRPOConfig, ["--problems.families", "islands", "--problems.contract", "classic"], prog="")
