"""What the driver records of a training on given answers, over interruptions. Without Ray."""

from queue import Empty

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from cluster.names import BadName
from pipelines.artifacts.run_folder import RunFolder, replace_file
from pipelines.fine_tuning import finished
from pipelines.training_metrics import TrainingMetrics, record
from pipelines.whole_model import ModelReceiver, send_model
from rollout.model_files import load_config, load_tokenizer, read_prompt
from rollout.prompts import PromptConfig
from train.base_model import load_base
from train.config import TrainConfig


@pytest.fixture
def folder(tmp_path):
    with RunFolder.create(tmp_path / "run", {"sft": {}}) as folder:
        folder.append_metrics({"kind": "examples", "train": 6})
        folder.append_metrics({"kind": "evaluation", "name": "before", "step": 0})
        yield folder


def step(number, kind="step"):
    return {"kind": kind, "step": number, "steps": 9, "loss": 1 / number}


def kept(folder):
    return [(row["kind"], row.get("step")) for row in folder.metrics()][2:]


def test_a_worker_that_starts_again_takes_back_what_its_checkpoint_lacks(folder):
    for number in range(1, 6):
        assert record(folder, step(number)) == [step(number)]
        if number == 3:
            record(folder, step(3, "validation"))
    rows = [step(1), step(2), step(3), step(3, "validation")]
    assert record(folder, {"kind": "start", "rows": rows}) == rows
    assert kept(folder) == [("step", 1), ("step", 2), ("step", 3), ("validation", 3)]
    record(folder, step(4))
    record(folder, {"kind": "start", "rows": []})
    assert kept(folder) == [] and len(folder.metrics()) == 2, "without a checkpoint it starts from the beginning"


def test_rows_that_a_killed_driver_never_wrote_come_from_the_checkpoint(folder):
    record(folder, step(1))
    record(folder, {"kind": "start", "rows": [step(1), step(2), step(2, "validation")]})
    assert kept(folder) == [("step", 1), ("step", 2), ("validation", 2)]
    assert folder.metrics()[-1]["loss"] == 0.5


@pytest.mark.parametrize(
    ("outcome", "figures"), [(None, None), ('{"error": "no example"}', None), ('{"steps": 3}', {"steps": 3})]
)
def test_a_training_has_ended_when_its_outcome_says_so(folder, outcome, figures):
    if outcome is not None:
        replace_file(folder.path / "outcome.json", outcome)
    assert finished(folder.path) == figures


class Passed:
    """A queue that hands its messages on at once."""

    def __init__(self, receiver):
        self.put = receiver.take


class Saved:
    """A model that saves given files."""

    def __init__(self, **files):
        self._files = files

    def to(self, dtype):
        return self

    def save_pretrained(self, folder, **_):
        for name, content in self._files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)


def test_a_model_arrives_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.whole_model.PIECE_BYTES", 4)
    receiver = ModelReceiver(tmp_path)
    model, words = Saved(weights=bytes(range(11))), Saved(tokenizer=b"words")
    send_model(model, words, None, "{}", Passed(receiver))  # of a worker that died afterwards
    receiver.restart()
    sizes = send_model(model, words, None, "{}", Passed(receiver))
    assert sizes == {"prompt.json": 2, "tokenizer": 5, "weights": 11} and not (tmp_path / "model").exists()
    first = receiver.finish(sizes)
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == {
        "prompt.json": b"{}", "tokenizer": b"words", "weights": bytes(range(11)),
    }  # fmt: skip
    other = ModelReceiver(tmp_path)
    sizes = send_model(Saved(weights=b"x" * 11), words, None, "", Passed(other))
    assert other.finish(sizes) != first and not (tmp_path / "model" / "prompt.json").exists()
    torn = ModelReceiver(tmp_path)
    with pytest.raises(ValueError, match="did not come whole"):
        torn.finish(sizes)
    assert (tmp_path / "model" / "weights").read_bytes() == b"x" * 11


def test_a_model_s_folders_arrive_and_nothing_lands_outside(tmp_path):
    receiver, words = ModelReceiver(tmp_path), Saved(**{"additional_chat_templates/tool.jinja": b"{{ tools }}"})
    receiver.finish(send_model(Saved(weights=b"x"), words, None, "", Passed(receiver)))
    assert (tmp_path / "model/additional_chat_templates/tool.jinja").read_bytes() == b"{{ tools }}"
    for name in ("../outside", "/outside", "a/../../outside"):
        with pytest.raises(BadName):
            ModelReceiver(tmp_path).take({"kind": "file", "name": name, "content": b"x"})


def test_a_driver_that_fails_still_empties_the_queue_of_its_workers(folder):
    class Messages(list):
        def get(self, timeout):
            if not self:
                raise Empty
            return self.pop(0)

    metrics = TrainingMetrics(folder, Console(quiet=True))
    metrics.queue = Messages([{"kind": "step", "step": "none"}, *(step(number) for number in range(1, 9))])
    metrics._done.set()
    metrics._take_all()
    assert not metrics.queue and isinstance(metrics._error, Exception)


def test_a_model_that_arrived_computes_what_was_trained(tmp_path):
    """In the numbers that the original was stored in, with its tokenizer and the prompt that it was trained with."""
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    trained = Qwen2ForCausalLM(Qwen2Config(vocab_size=32, num_key_value_heads=1, tie_word_embeddings=True, **size))
    words = models.WordLevel({f"<{number}>": number for number in range(32)}, unk_token="<2>")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), eos_token="<1>", pad_token="<0>")
    receiver, prompt = ModelReceiver(tmp_path), PromptConfig(style="think")
    sizes = send_model(trained, tokenizer, torch.bfloat16, prompt.model_dump_json(), Passed(receiver))
    receiver.finish(sizes)
    folder = tmp_path / "model"
    loaded = load_base(folder, TrainConfig(dtype="bfloat16"), torch.device("cpu")).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in trained.state_dict().items())
    assert load_config(folder).dtype == torch.bfloat16 and load_tokenizer(folder).eos_token_id == 1
    assert read_prompt(folder) == prompt
