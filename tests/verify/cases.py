"""Problems of the folder `shared/cases`, as the tests of this room judge them."""

from problems.problem import Problem, Test


def problem_of(case: dict) -> Problem:
    """The problem of a case of `extraction.jsonl` or `programs.jsonl`."""
    given = case["problem"]
    tests = tuple(
        Test(tuple(test["args"]), test["expected"]) for test in given["tests"] for _ in range(test.get("times", 1))
    )
    return Problem(
        id=case["id"], family="case", family_version=1, difficulty=1, split="test", statement="",
        entry_point=given["entry_point"], signature=given["signature"], public_examples=(), hidden_tests=tests,
        checker=given["checker"], kind=given["kind"],
    )  # fmt: skip
