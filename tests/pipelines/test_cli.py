"""The command itself: what it does when nobody reads on."""

import os
import subprocess
import sys

import pytest

from pipelines.cli import is_unread


@pytest.mark.parametrize("command", ["options", "grpo --help", "--help"])
def test_a_reader_that_goes_is_no_error(command):
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "pipelines.cli", *command.split()]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert done.returncode == 141 and done.stderr == ""


def test_a_pipe_is_unread_once_its_reader_is_gone(tmp_path):
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        assert not is_unread(stream)
        os.close(read)
        assert is_unread(stream)
    with open(tmp_path / "file", "w") as stream:
        assert not is_unread(stream)
