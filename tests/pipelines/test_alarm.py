"""The entropy's alarm is told once for each time that the policy collapses."""

from types import SimpleNamespace

from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import GRPOConfig
from pipelines.jobs.grpo import _Run
from rollout.coordinator import Event


def test_the_alarm_is_told_once_for_each_fall(tmp_path):
    config = GRPOConfig(train={"entropy_alarm": 0.1})
    shown = []
    display = SimpleNamespace(note=shown.append, update=lambda row: None)
    with RunFolder.create(tmp_path / "r", config) as folder:
        run = _Run(config, SimpleNamespace(run="r"), folder, None, None, lambda row: None)
        for step, entropy in enumerate((0.5, 0.09, 0.08, None, 0.07, 0.3, 0.05), 1):
            metrics = {} if entropy is None else {"entropy": entropy, "entropy_alarm": float(entropy < 0.1)}
            run._book([Event("step", step=step, metrics=metrics)], display)
        lines = folder.log_file.path.read_text().splitlines()
    assert len(shown) == len(lines) == 2
    assert "0.0900 at step 2 is below train.entropy_alarm 0.1" in lines[0] and "at step 7" in lines[1]
