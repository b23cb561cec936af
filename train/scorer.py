"""Log-probabilities of completions under a causal model: the one forward pass that training, reference and
proof share.

Shapes: B rows, P distinct prompts, T completion positions, N = completion tokens without padding, S tokens of a packed
sequence, H hidden.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from train.attention import model_inputs, use_packed_attention
from train.batch import Layout, MicroBatch, Row
from train.head import find_head
from train.packing import Packing
from train.sharding import abandon_pass, with_whole_ends


class Scorer:
    """Scores completions with a Hugging Face causal model, with gradient where gradients are on.

    The rows of a micro-batch are packed into one sequence; with `share_prompts` each distinct prompt is in it once.
    A model with layers that cannot be run so, such as recurrent ones, gets padded rows. Either way the result is that
    of one forward pass a row.
    """

    def __init__(self, model: PreTrainedModel, share_prompts: bool | None = None) -> None:
        """`model`, in evaluation mode, is made to attend by packings. None shares prompts wherever it can be packed.

        Raises ValueError where prompts shall be shared and cannot, and for a head that is neither plain, scaled nor
        soft-capped.
        """
        self.model, self.decoder = model, model.get_decoder()  # without a vision tower, which text has no use for
        packed = use_packed_attention(model) and self._packs()
        if share_prompts and not packed:
            raise ValueError(f"model {model.config.name_or_path} cannot be run packed: set share_prompts=false")
        self.layout = Layout(packed, packed and share_prompts is not False)
        head = find_head(model)
        if head is None:
            raise ValueError(
                f"model {model.config.name_or_path} makes its logits otherwise than by a linear layer, scaled or "
                "soft-capped, so its log-probabilities cannot be computed in tiles: use another model"
            )
        self.head = head

    def logprobs(self, batch: MicroBatch, temperature: float, entropy_gradient: bool = False) -> tuple[Tensor, Tensor]:
        """(log-probabilities [B, T] float32, entropies [B, T] float32), 0 on padding.

        Both are of softmax(logits / temperature), as vLLM's `processed_logprobs` are where no top-k or
        top-p is set. Entropies have a gradient only on request, since it costs another product with the
        head.
        """
        return with_whole_ends(self.model, lambda: self._logprobs(batch, temperature, entropy_gradient))

    def trial(self) -> Tensor:
        """Log-probabilities [1, 2] of a few tokens, with gradient: any pass will do."""
        ids = np.arange(4) % self.model.config.get_text_config().vocab_size
        return self.logprobs(MicroBatch.of([_trial_row(ids[:2], ids[2:], 0)], self.model.device), 1.0)[0]

    def _logprobs(self, batch: MicroBatch, temperature: float, entropy_gradient: bool) -> tuple[Tensor, Tensor]:
        states_N_H = self._packed(batch) if self.layout.packed else self._padded(batch)
        mask = batch.mask.bool()
        targets_N = batch.completion_ids[mask]
        logprobs_N, entropies_N, _ = self.head.logprobs(states_N_H, targets_N, temperature, entropy_gradient)
        padded = torch.zeros_like(batch.mask)
        return padded.masked_scatter(mask, logprobs_N), padded.masked_scatter(mask, entropies_N)

    def _packed(self, batch: MicroBatch, share_prompts: bool | None = None) -> Tensor:
        """States [N, H] that predict the completion tokens, from one sequence."""
        shared = self.layout.shared if share_prompts is None else share_prompts
        packing = Packing.of(batch.rows, shared, batch.mask.device)
        states_S_H = self.decoder(**model_inputs(packing)).last_hidden_state[0]
        return states_S_H[packing.predicts]

    def _padded(self, batch: MicroBatch) -> Tensor:
        """The same from one row of prompt and completion a sample.

        Padding is on the right, where causal attention cannot see it: no attention mask is needed.
        """
        lengths = batch.prompt_lengths[batch.prompt_of_row]
        steps = torch.arange(batch.completion_ids.shape[1], device=lengths.device)
        places = lengths[:, None] + steps
        prompts = batch.prompt_ids[batch.prompt_of_row]
        tokens = torch.cat([prompts, torch.zeros_like(batch.completion_ids)], dim=1)
        tokens = tokens.scatter(1, places, batch.completion_ids)
        states = self.decoder(input_ids=tokens, use_cache=False).last_hidden_state
        rows = torch.arange(len(tokens), device=tokens.device)
        return states[rows[:, None], places - 1][batch.mask.bool()]

    @torch.no_grad()
    def _packs(self) -> bool:
        """Whether a packed sequence gives what rows of their own give, tried on a few tokens: models differ in what
        they pass on to attention."""
        ids = np.arange(12) % self.model.config.get_text_config().vocab_size
        rows = [_trial_row(ids[:4], ids[4:9], 0), _trial_row(ids[:4], ids[9:], 0), _trial_row(ids[2:9], ids[1:3], 1)]
        batch = MicroBatch.of(rows, self.model.device)
        try:
            packed = with_whole_ends(self.model, lambda: self._packed(batch, share_prompts=True))
        except (NotImplementedError, TypeError, ValueError, RuntimeError):
            abandon_pass(self.model)
            packed = None
        if packed is not None:
            wanted = with_whole_ends(self.model, lambda: self._padded(batch))
            is_exact = wanted.dtype == torch.float32 and not getattr(self.model, "is_loaded_in_8bit", False)
            bound = 1e-3 if is_exact else 5e-2
            if (packed - wanted).norm() <= bound * wanted.norm():
                return True
        self.model.set_attn_implementation("sdpa")
        return False


def _trial_row(prompt_ids: np.ndarray, completion_ids: np.ndarray, prompt: int) -> Row:
    zeros = np.zeros(len(completion_ids), np.float32)
    return Row(prompt, prompt_ids, completion_ids, zeros, zeros, 0)
