"""Supervised fine-tuning: what is learnt from, what is kept, and going on after an interruption."""

import json
import shutil

import numpy as np
import pytest
import torch
from train_helpers import VOCABULARY, tiny_model

from train.lora import Adapter
from train.pretrain import Row
from train.sft import SFTError, fit, measure, split_rows
from train.sft_config import SFTConfig
from train.trainer_checkpoint import Shelve, newest_checkpoint, relocate, restore

EOS = 1
QUICK = SFTConfig(
    lora_r=4,
    lora_alpha=8,
    lora_dropout=0.1,
    epochs=4,
    batch_size=2,
    grad_accumulation=2,
    learning_rate=0.02,
    patience=0,
)


def word_tokenizer():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"<{number}>": number for number in range(VOCABULARY)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<2>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=f"<{EOS}>", pad_token="<0>")


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer()


def rows(count, seed=0):
    """Prompts of random tokens; the completion repeats the prompt's first token and ends."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        prompt = rng.integers(3, VOCABULARY, rng.integers(3, 9)).tolist()
        made.append(Row(prompt, [prompt[0], prompt[0], EOS]))
    return made


class Stop(Exception):
    pass


@pytest.fixture
def learn(tokenizer, tmp_path):
    """`learn(config, ...)` fits a fresh base on the same rows and returns the result and the rows of metrics."""

    def learn(config=QUICK, folder="checkpoints", initial=None, stop_after=None, **more):
        told = []

        def tell(row):
            told.append(row)
            if row["kind"] == "step" and row["step"] == stop_after:
                raise Stop

        folder = tmp_path / folder
        val = rows(8, 1) if config.val_share else []
        return fit(tiny_model(), tokenizer, rows(24), val, config, folder, "run", initial, tell, **more), told

    return learn


def test_only_completions_and_their_end_are_learnt(learn, monkeypatch):
    import trl

    seen = []
    original = trl.SFTTrainer.compute_loss

    def watch(self, model, inputs, *rest, **more):
        seen.append({name: inputs[name].clone() for name in ("input_ids", "labels", "attention_mask")})
        return original(self, model, inputs, *rest, **more)

    monkeypatch.setattr(trl.SFTTrainer, "compute_loss", watch)
    learn()
    for batch in seen:
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"]):
            real = int(mask.sum())
            taught = (labels != -100).nonzero()[:, 0].tolist()
            assert taught == [real - 3, real - 2, real - 1], "the completion, whole, and nothing else"
            assert labels[real - 1] == EOS == ids[real - 1]
            assert labels[real - 3] == ids[0]


def test_the_loss_falls_and_the_best_adapter_is_returned(learn):
    result, told = learn()
    looks = [row for row in told if row["kind"] == "validation"]
    steps = [row for row in told if row["kind"] == "step"]
    assert len(steps) == result.steps == 24 and len(looks) == 4
    assert result.best_loss == min(row["loss"] for row in looks) < looks[0]["loss"]
    assert result.best_step == min(looks, key=lambda row: row["loss"])["step"]
    assert steps[0]["learning_rate"] < max(row["learning_rate"] for row in steps) == pytest.approx(0.02, rel=0.05)


def test_the_returned_adapter_has_the_loss_it_was_chosen_for(learn):
    # Which of these rates overshoots depends on how this machine rounds.
    rates = (0.3, 0.6, 1.2, 2.4)
    results = (learn(QUICK.model_copy(update={"learning_rate": r, "epochs": 6}), f"at-{r}")[0] for r in rates)
    result = next((found for found in results if found.best_step < found.steps), None)
    assert result is not None, "too high a rate must overshoot, or this shows nothing"
    adapter = Adapter(tiny_model(), QUICK.adapter)
    adapter.load(result.policy)
    adapter.model.eval()
    total = count = 0
    with torch.no_grad():
        for row in rows(8, 1):
            ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
            logprobs = adapter.model(ids).logits[0, :-1].log_softmax(-1)
            taught = logprobs[len(row.prompt_ids) - 1 :].gather(-1, torch.tensor(row.completion_ids)[:, None])
            total, count = total - taught.sum().item(), count + len(row.completion_ids)
    assert total / count == pytest.approx(result.best_loss, abs=1e-4)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(learn, optimiser):
    config = QUICK.model_copy(update={"optimiser": optimiser})
    whole, told = learn(config, "whole")
    with pytest.raises(Stop):
        learn(config, "cut", stop_after=15)
    again, rest = learn(config, "cut")
    assert [row["step"] for row in rest if row["kind"] == "step"] == list(range(13, 25))
    assert again.policy.weights == whole.policy.weights and again.best_loss == whole.best_loss
    losses = {row["step"]: row["loss"] for row in told if row["kind"] == "step"}
    assert all(losses[row["step"]] == row["loss"] for row in rest if row["kind"] == "step")


class Bucket:
    """A store of checkpoints in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def push(self, checkpoint, keep):
        for old in self.folder.glob("*"):
            shutil.rmtree(old)
        shutil.copytree(checkpoint, self.folder / checkpoint.name)

    def pull(self, folder):
        for each in self.folder.glob("*"):
            shutil.copytree(each, folder / each.name)


# Which of them makes the best checkpoint another than the newest depends on how this machine rounds.
@pytest.mark.parametrize("rate", [0.02, 1.2])
def test_a_run_goes_on_from_a_store_on_another_machine(learn, tmp_path, rate):
    config = QUICK.model_copy(update={"learning_rate": rate})
    whole, _ = learn(config, "whole")
    store = Bucket(tmp_path / "bucket")
    with pytest.raises(Stop):
        learn(config, "first", stop_after=21, callbacks=[Shelve(tmp_path / "first", store)])
    (step,) = store.folder.iterdir()
    assert step.name == "000018" and (step / "checkpoint.json").is_file()
    shutil.rmtree(tmp_path / "first")

    before = []
    restore(tmp_path / "second", store)
    again, rest = learn(config, "second", on_start=before.extend, callbacks=[Shelve(tmp_path / "second", store)])
    assert [row["step"] for row in before if row["kind"] == "step"] == list(range(1, 19))
    assert [row["step"] for row in rest if row["kind"] == "step"] == list(range(19, 25))
    assert again.policy.weights == whole.policy.weights and again.best_step == whole.best_step
    assert [path.name for path in store.folder.iterdir()] == ["000024"]


def test_a_folder_that_moved_still_has_its_best_checkpoint(tmp_path):
    (tmp_path / "checkpoint-8").mkdir()
    file = tmp_path / "checkpoint-8" / "trainer_state.json"
    file.write_text(json.dumps({"best_global_step": 4, "best_model_checkpoint": "/elsewhere/checkpoint-4", "epoch": 1}))
    relocate(tmp_path / "checkpoint-8")
    best = str(tmp_path / "checkpoint-4")
    assert json.loads(file.read_text()) == {"best_global_step": 4, "best_model_checkpoint": best, "epoch": 1}


def test_without_validation_the_last_adapter_is_kept(learn):
    config = QUICK.model_copy(update={"val_share": 0.0, "patience": 2})
    result, told = learn(config)
    assert {row["kind"] for row in told} == {"step"} and len(told) == result.steps == result.best_step == 24
    assert result.best_loss is None and not result.stopped_early
    assert result.last_loss < result.first_loss and result.first_loss == told[0]["loss"]
    with pytest.raises(Stop):
        learn(config, "cut", stop_after=15)
    again, rest = learn(config, "cut")
    assert rest[0]["step"] == 13 and again.policy.weights == result.policy.weights
    assert again.first_loss == result.first_loss


def test_a_checkpoint_that_was_not_finished_is_passed_over(tmp_path):
    for step, state in ((4, '{"global_step": 4}'), (8, '{"global_'), (12, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-4"


def test_training_goes_on_from_an_adapter(learn):
    first, told = learn()
    _, later = learn(folder="second", initial=first.policy)
    start = [next(row["loss"] for row in log if row["kind"] == "validation") for log in (told, later)]
    assert start[1] < start[0]
    with pytest.raises(ValueError, match="does not fit"):
        learn(QUICK.model_copy(update={"lora_r": 8}), "third", initial=first.policy)


def test_training_stops_when_validation_no_longer_improves(learn):
    config = QUICK.model_copy(update={"learning_rate": 0.5, "epochs": 20, "patience": 2})
    result, _ = learn(config)
    assert result.stopped_early and result.steps == result.best_step + 12 < 120, "two looks, six updates apart"
    with pytest.raises(Stop):
        learn(config, "cut", stop_after=result.best_step + 7)
    again, _ = learn(config, "cut")
    assert (again.steps, again.best_step) == (result.steps, result.best_step), "the first of the two still counts"


def test_what_teaches_nothing_or_does_not_end_is_refused():
    good = Row([5, 6], [7, EOS])
    lengths = measure([good, Row([5] * 9, [7, EOS])], 8, EOS)
    assert (lengths.rows, lengths.supervised, lengths.longest, lengths.too_long) == (2, 4, 11, (1,))
    with pytest.raises(SFTError, match="no example"):
        measure([], 8, EOS)
    with pytest.raises(SFTError, match="example 1 has an empty completion"):
        measure([good, Row([5], [EOS])], 8, EOS)
    with pytest.raises(SFTError, match="does not end with the end token"):
        measure([Row([5], [7, 8])], 8, EOS)


def test_no_question_is_on_both_sides():
    questions = [f"q{number % 20}" for number in range(100)]
    train, val = split_rows(questions, 0.1, 42)
    assert sorted([*train, *val]) == list(range(100))
    assert not {questions[n] for n in train} & {questions[n] for n in val}
    assert len({questions[n] for n in val}) == 2
    assert split_rows(["a", "b"], 0.1, 0)[1], "at least one to validate by"
    assert split_rows(["a", "a"], 0, 0) == ([0, 1], [])
    with pytest.raises(SFTError, match="distil more"):
        split_rows(["a", "a"], 0.1, 0)


def test_the_adapter_is_written_as_grpo_and_vllm_read_it(learn, tmp_path):
    from pipelines.artifacts.run_folder import write_adapter
    from pipelines.jobs.evaluate import read_adapter

    result, _ = learn()
    write_adapter(tmp_path / "run", result.policy)
    found = read_adapter(str(tmp_path / "run"), "run")
    assert found.weights == result.policy.weights and found.lora_config["r"] == 4
    assert found.base == result.policy.base and len(found.base["fingerprint"]) == 16


FULL = QUICK.model_copy(update={"full": True, "learning_rate": 3e-3})


def test_all_weights_learn_where_the_whole_model_does(tokenizer, tmp_path):
    base, start = tiny_model(), tiny_model()
    told = []
    result = fit(base, tokenizer, rows(24), rows(8, 1), FULL, tmp_path, "run", on_row=told.append)
    assert result.policy is None and result.last_loss < 0.5 * result.first_loss
    looks = {row["step"]: row["loss"] for row in told if row["kind"] == "validation"}
    assert result.best_loss == min(looks.values()) < 0.7 * result.first_loss
    learnt, before = dict(base.named_parameters()), dict(start.named_parameters())
    assert learnt.keys() == before.keys(), "nothing of an adapter is left in it"
    assert all(not torch.equal(learnt[name], before[name]) for name in before)


def test_a_whole_model_goes_on_where_it_was_interrupted(tokenizer, tmp_path):
    def train(folder, stop_after=None):
        base, told = tiny_model(), []

        def tell(row):
            told.append(row)
            if row["kind"] == "step" and row["step"] == stop_after:
                raise Stop

        fit(base, tokenizer, rows(24), rows(8, 1), FULL, tmp_path / folder, "run", on_row=tell)
        return {name: value.clone() for name, value in base.state_dict().items()}, told

    whole, losses = train("whole")
    with pytest.raises(Stop):
        train("cut", stop_after=9)
    assert newest_checkpoint(tmp_path / "cut") is not None
    again, rest = train("cut")
    assert rest[0]["step"] == 7
    assert [row["loss"] for row in rest] == [row["loss"] for row in losses[-len(rest) :]]
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_muon_is_for_adapters():
    with pytest.raises(ValueError, match="full trains embeddings and norms too"):
        SFTConfig(full=True, optimiser="muon")
