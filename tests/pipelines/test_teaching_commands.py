"""What `crucible lrl` and `crucible undo` say to people before anything is started."""

import pytest

from pipelines.jobs import lrl, undo


@pytest.mark.parametrize("command", [lrl.main, undo.main])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--teacher.model", "claude-haiku-4-5"], "there is no API key: set ANTHROPIC_API_KEY"),
        (["--teacher.model", "x", "--teacher.budget", "0"], "budget 0 buys nothing"),
        (["--teacher.budget", "1"], "no effect on the offline reference teacher"),
        (["--teacher.model", "mine", "--teacher.key-variable", "SOME_KEY"], "the price of model mine is not known"),
        (["--resume", "runs/none"], "runs/none holds no run to resume"),
        (["--sft.lora-r", "600"], "lora_r"),
        (["--transfer.lora-r", "8"], "--transfer.lora-r is now --sft.lora-r"),
        (["--sft.val-share", "0", "--sft.patience", "5"], "no effect with val_share 0"),
    ],
)
def test_bad_input_is_one_clear_line(command, arguments, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where there is no .env
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("SOME_KEY", "sk-1")
    assert command(arguments) == 2
    told = capsys.readouterr().err.strip()
    assert says in told and "\n" not in told and "sk-1" not in told
    assert not (tmp_path / "runs").exists()
