"""A command's `--help`. `crucible options` (`pipelines.option_pages`) lists all options of all commands.

`--help` shows the options that many runs set, `--help-all` all of them, `--help rollout.engine` those of a section.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Union, cast, get_args, get_origin

import tyro
import yaml
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from pipelines.errors import ConfigError
from pipelines.options import OwnOption, is_structured, is_used, leaves, nearest, option_keys
from problems.auto import WORD, is_auto

ADVANCED = (
    "problems.weights", "problems.hidden_tests", "problems.public_examples", "problems.parts", "problems.curriculum.*",
    "focus.weights", "focus.hidden_tests", "focus.public_examples", "focus.parts",
    "general.weights", "general.hidden_tests", "general.public_examples", "general.parts",
    "prompt.max_example_chars", "prompt.system", "prompt.template", "prompt.chat", "prompt.shots",
    "verify.actor_cpus", "verify.labels", "verify.batch_size", "verify.total_factor", "verify.wall_factor",
    "verify.idle_seconds", "verify.output_kib", "verify.threads", "verify.overlap", "verify.code_kib",
    "verify.max_tests", "verify.feed", "verify.min_isolation", "verify.retries", "verify.recycle_after",
    "verify.cache", "verify.cache_size", "verify.reward.outcome_weight", "verify.reward.length_*",
    "hardware.engine.cpus", "hardware.engine.labels", "hardware.engine.accelerator", "hardware.engine.fallbacks",
    "hardware.learner.cpus", "hardware.learner.labels", "hardware.learner.accelerator", "hardware.learner.fallbacks",
    "hardware.profiles", "hardware.teacher.*",
    "engine.backend", "engine.kv_cache_gib", "engine.enforce_eager", "engine.canary_bound", "engine.patience_seconds",
    "engine.start_seconds", "engine.max_batched_tokens",
    "rollout.*_samples", "rollout.lease_size", "rollout.lease_seconds",
    "sampling.top_p", "sampling.top_k", "sampling.min_p", "sampling.repetition_penalty", "sampling.stop",
    "evaluation.top_p", "evaluation.top_k", "evaluation.min_p", "evaluation.repetition_penalty", "evaluation.stop",
    "train.length_norm", "train.delta", "train.old_logprobs", "train.importance_*", "train.covariance*",
    "train.entropy_*", "train.lora_dropout", "train.target_modules", "train.total_steps", "train.adam_betas",
    "train.weight_decay", "train.max_grad_norm", "train.epochs", "train.micro_batch_tokens", "train.share_prompts",
    "train.dtype", "train.keep_checkpoints", "train.seed", "train.warmup_steps", "train.schedule",
    "train.gradient_checkpointing", "train.torch_compile", "train.reference", "train.ema_decay", "train.shard",
    "train.quantise",
    "sft.lora_dropout", "sft.target_modules", "sft.schedule", "sft.warmup", "sft.weight_decay", "sft.max_grad_norm",
    "sft.no_thinking", "sft.too_long", "sft.evaluations_per_epoch", "sft.dtype", "sft.val_share",
    "sft.gradient_checkpointing", "sft.patience", "sft.optimiser",
    "teacher.key_variable", "teacher.env_file", "teacher.batch_size", "teacher.poll_seconds", "teacher.prices",
    "teacher.cache", "teacher.sdk_retries", "teacher.patience", "teacher.backoff", "teacher.timeout", "teacher.thought",
    "data.mapping", "data.problems", "data.hub_split", "data.shuffle", "data.limit", "data.strict", "data.trust",
    "teacher.share", "teacher.others", "teacher.prompts", "teacher.engine*",
    "publish.*", "corrections",
)  # fmt: skip
"""Patterns of keys, in whatever section these are, that `--help` leaves to `--help-all`."""


CONFIG = OwnOption("config", "FILE.yaml", "Sets any of these options by the same names, nested; options win over it.")


def is_advanced(key: str) -> bool:
    """Whether `--help` leaves a key out."""
    return any(fnmatch.fnmatchcase(key, pattern) or fnmatch.fnmatchcase(key, f"*.{pattern}") for pattern in ADVANCED)


def print_help(
    model: type[BaseModel], start: BaseModel, argv: Sequence[str], prog: str, own: Sequence[OwnOption] = ()
) -> None:
    """Prints the options that `argv` asks for, with the values that they have in `start`. Raises ConfigError."""
    used = [key for key in leaves(model) if is_used(model, key)]
    at = next(index for index, word in enumerate(argv) if word in ("-h", "--help", "--help-all"))
    section = argv[at + 1].replace("-", "_") if at + 1 < len(argv) and not argv[at + 1].startswith("-") else ""
    if section:
        shown = {key for key in used if key == section or key.startswith(f"{section}.")}
        if not shown:
            near = nearest(section, [key for key in option_keys(model) if is_used(model, key)])
            raise ConfigError(f"there are no options {section}; " + (f"did you mean {near}?" if near else "see --help"))
        more = f"{prog} --help shows the common options of all sections, --help-all all of them."
    elif argv[at] == "--help-all":
        shown, more = set(used), f"{prog} --help SECTION shows those of one section, rollout.engine say."
    else:
        shown = {key for key in used if not is_advanced(key)}
        left = len(used) - len(shown)
        more = (
            f"{left} options more: {prog} --help-all shows all, {prog} --help SECTION those of one section, and "
            "docs/options.md lists every command's."
            if left
            else ""
        )
    text = "\n\n".join(part for part in ((model.__doc__ or "").strip(), more) if part)
    _show(start, prog, text, shown, () if section else (CONFIG, *own))


class _Section:
    """A section of a configuration as tyro gets it: its subclasses are made by `_section`, one a section."""

    prefix: ClassVar[str]
    config: ClassVar[BaseModel]


def _section(config: BaseModel, prefix: str) -> type[_Section]:
    named = {"prefix": prefix, "config": config, "__doc__": type(config).__doc__}
    return cast(type[_Section], type(type(config).__name__, (_Section,), named))


def _show(config: BaseModel, prog: str, text: str, shown: set[str], own: Sequence[OwnOption]) -> None:
    registry = ConstructorRegistry()

    @registry.struct_rule
    def fields_of(info: StructTypeInfo) -> StructConstructorSpec | None:
        if not (isinstance(info.type, type) and issubclass(info.type, _Section)):
            return None
        section = info.type
        found = [] if section.prefix else [_own_field(option) for option in own]
        for name, field in type(section.config).model_fields.items():
            key, value = f"{section.prefix}{name}", getattr(section.config, name)
            if key in shown:
                unset = is_auto(field) and name not in section.config.model_fields_set
                text = text_of(type(section.config), name)
                found.append(_field(name, field, WORD if unset else value, text))
            elif any(other.startswith(f"{key}.") for other in shown):
                inner = _section(value, f"{key}.")
                found.append(StructFieldSpec(name, inner, inner(), text_of(type(section.config), name)))
        return StructConstructorSpec(dict, tuple(found))

    whole = _section(config, "")
    markers = (tyro.conf.FlagConversionOff,)
    tyro.cli(whole, prog=prog, description=text, args=["--help"], default=whole(), registry=registry, config=markers)


def _own_field(option: OwnOption) -> StructFieldSpec:
    kind: Any = Annotated[str, tyro.conf.arg(metavar=option.metavar, help=option.text, help_behavior_hint="")]
    return StructFieldSpec(option.name, kind, "")


def _field(name: str, field: FieldInfo, default: Any, text: str) -> StructFieldSpec:
    kind: Any = field.annotation
    if is_auto(field) and not _has_word(kind):
        kind = Union[kind, Literal[WORD]]  # noqa: UP007 - of values
    if is_structured(kind):
        kind, default = Annotated[str, tyro.conf.arg(metavar="YAML")], yaml_text(default)
    return StructFieldSpec(name, kind, default, text)


def _has_word(kind: Any) -> bool:
    return get_origin(kind) is Literal and WORD in get_args(kind)


def yaml_text(value: Any) -> str:
    """A value in one line, as it would be written in a configuration file."""
    plain = RootModel[Any](value).model_dump(mode="json")
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def text_of(model: type[BaseModel], name: str) -> str:
    """What a configuration says of a field: the text below it."""
    return next((texts[name] for kind in model.__mro__ if name in (texts := _texts(kind))), "")


@functools.cache
def _texts(kind: type) -> Mapping[str, str]:
    """The texts below the fields of a class. Read from its source: pydantic would do so for every process."""
    if not issubclass(kind, BaseModel) or kind is BaseModel:
        return {}
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }  # fmt: skip
