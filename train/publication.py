"""What a learner publishes: its adapter, the proof of it, and the canary that it has scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rollout.policy import AdapterForm, Canary, Publication, published_dtype

if TYPE_CHECKING:
    from train.learner import Learner


def publication_of(
    learner: Learner,
    run: str,
    canary: tuple[Sequence[int], Sequence[int]] | None = None,
    forms: Sequence[AdapterForm] = (),
) -> Publication:
    """The learner's adapter as it is now, for engines that hold adapters in `forms`: in their numbers, with its proofs.

    `canary` is a prompt's and a completion's token ids, which the learner scores.
    """
    dtype = published_dtype(forms)
    proofs = {form: learner.adapter.checksums(form) for form in {AdapterForm(dtype), *forms}}
    policy = learner.adapter.export(run, learner.steps_done, dtype=dtype)
    if canary is None:
        return Publication(policy, proofs=proofs)
    prompt, completion = (np.asarray(ids, dtype=np.int32) for ids in canary)
    numbers = learner.adapter.dtype if learner.config.quantise == "none" else learner.config.quantise
    scored = Canary(prompt, completion, learner.score(prompt, completion), numbers)
    return Publication(policy, scored, proofs=proofs)
