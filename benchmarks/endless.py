"""A model that never stops writing, so that every system compared writes the same number of tokens."""

from __future__ import annotations

import shutil
from pathlib import Path


def endless_model(source: str, target: Path) -> Path:
    """A copy of the model (or a random one) whose end token is its padding token, which it never writes."""
    from transformers import AutoModelForCausalLM

    from rollout.model_files import NO_CODE, load_tokenizer

    if source:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(source, **NO_CODE), load_tokenizer(source)
    else:
        model, tokenizer = random_model()
    tokenizer.eos_token = tokenizer.pad_token
    for settings in (model.config, model.generation_config):
        settings.eos_token_id = settings.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    for extra in Path(source).glob("*.json") if source else ():
        if not (target / extra.name).exists():
            shutil.copy(extra, target)
    return target


def random_model():
    """(model, tokenizer) of the student's size, without its training: the same work, in other words."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from problems.config import ProblemsConfig
    from problems.stream import ProblemStream

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1536,
        special_tokens=["<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stream = ProblemStream(ProblemsConfig(), "train")
    bpe.train_from_iterator((p.statement + p.signature for p in stream.range(0, 300)), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<|pad|>")
    sizes = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=1536, num_key_value_heads=2, tie_word_embeddings=True, **sizes)
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    # One feature that all tokens share and the padding token opposes: it is never drawn.
    model.get_input_embeddings().weight.data[:, 0] = 1.0
    model.get_input_embeddings().weight.data[tokenizer.pad_token_id, 0] = -1.0
    return model, tokenizer
