"""Fixtures of this folder."""

import json
from pathlib import Path

import pytest
import yaml

from problems.sources import Report, SourceConfig, read
from verify.pool import Judge


@pytest.fixture(scope="module")
def judge():
    judge = Judge()
    yield judge
    judge.close()


@pytest.fixture
def load(tmp_path):
    """`load(rows, mapping)` reads rows of one .jsonl, or a path, by a mapping given as a dict or by name."""

    def load(data, mapping, **options):
        if not isinstance(data, Path):
            rows, data = data, tmp_path / "data.jsonl"
            data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if isinstance(mapping, dict):
            (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping))
            mapping = str(tmp_path / "mapping.yaml")
        report = Report()
        return list(read(SourceConfig(mapping=mapping, path=str(data), **options), report)), report

    return load
