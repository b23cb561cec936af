"""The arms `trl` and `trl-vllm` of `benchmarks/step.py`: TRL's `GRPOTrainer` on the same prompts and lengths."""

from __future__ import annotations

import logging
import tempfile
from typing import TYPE_CHECKING, Any

from benchmarks.step import LEARNING_RATE, LORA, WARM, clock, coin, make_prompts, summary

if TYPE_CHECKING:
    from benchmarks.step import Task

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def grpo_trainer(task: Task, vllm: bool, micro_batches: int) -> dict:
    """Medians of a step of `GRPOTrainer`, with its own generation or with vLLM in its process."""
    import datasets
    import torch
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import GRPOTrainer

    from rollout.model_files import load_tokenizer

    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    tokenizer = load_tokenizer(task.model, padding_side="left")
    prompts = make_prompts(task)
    for _, text, ids in prompts[:4]:
        assert tokenizer(text)["input_ids"] == list(ids), "TRL would be asked in other tokens"
    steps: list[tuple[float, float, dict]] = []
    lengths: list[int] = []
    began: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            began[:] = clock()

        def on_step_end(self, *args, **kwargs):
            wall, cpu = clock()
            steps.append((wall - began[0], cpu - began[1], {}))

    def reward(completion_ids, **kwargs):
        lengths.extend(len(ids) for ids in completion_ids)
        return [coin(len(lengths), index) for index in range(len(completion_ids))]

    lora = LoraConfig(r=LORA["r"], lora_alpha=LORA["alpha"], target_modules=TARGETS, task_type="CAUSAL_LM")
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=task.model,
            reward_funcs=reward,
            args=_settings(task, folder, vllm, micro_batches),
            train_dataset=datasets.Dataset.from_dict({"prompt": [text for _, text, _ in prompts]}),
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[Clock()],
        )
        trainer.train()
    assert set(lengths) == {task.tokens} and len(lengths) == task.rows * (task.steps + WARM)
    return summary(steps)


def _settings(task: Task, folder: str, vllm: bool, micro_batches: int) -> Any:
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=task.rows // micro_batches,
        gradient_accumulation_steps=micro_batches,
        num_generations=task.group,
        max_completion_length=task.tokens,
        max_steps=task.steps + WARM,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        beta=task.beta,
        temperature=1.0,
        loss_type="grpo",
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_steps=1000,
        disable_tqdm=True,
        shuffle_dataset=False,
        use_vllm=vllm,
        **({"vllm_mode": "colocate", "vllm_max_model_length": 1024} if vllm else {}),
    )
