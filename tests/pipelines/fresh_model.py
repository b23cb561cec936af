"""A model with fresh weights, for tests of what is done with a model rather than of what it can."""

from pipelines.student import train_tokenizer
from train.pretrain import ArchitectureConfig, build_model


def write_model(folder, problems, positions=512):
    """Writes it, with a tokenizer of these problems, and returns its folder."""
    tokenizer = train_tokenizer((problem.statement for problem in problems), 300)
    shape = ArchitectureConfig(hidden=32, layers=1, intermediate=64, heads=2, kv_heads=1, max_positions=positions)
    ids = {"eos_id": tokenizer.eos_token_id, "pad_id": tokenizer.pad_token_id}
    build_model(shape, vocabulary=len(tokenizer), seed=0, **ids).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
