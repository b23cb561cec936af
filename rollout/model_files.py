"""A model's folder or Hub id is a stranger's: its own code is never run, nor asked about; what it brings is shown.

Everybody who loads a tokenizer or a configuration does it here; `train.base_model.load_base` loads the weights alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from problems import json_text
from problems.plain_text import one_line
from rollout.prompts import PROMPT_FILE, PromptConfig

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

NO_CODE = {"trust_remote_code": False}
"""Given explicitly: without it transformers asks on standard input whether a model's code is to be run."""
MODEL_CONFIG = "config.json"
"""Of a model's folder."""
_BIGGEST = 2**26
"""Bytes of a JSON file of a model; those of tokenizers have up to 30 MiB."""
_COPIES: dict[str, str] = {}


def read_from(model: str, folder: str) -> None:
    """Has this process read the files of `model` in `folder`, a copy on this node, from now on."""
    _COPIES[model] = folder


def place_of(model: str | Path) -> str:
    """Where this process reads a model: a folder or Hugging Face id."""
    return _COPIES.get(str(model), str(model))


def load_tokenizer(model: str | Path, **options: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, without any code of its own. Raises ValueError, in one line, where it has none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place_of(model), **NO_CODE, **options)
    except Exception as error:  # whatever libraries make of somebody's files
        raise unloadable(model, "tokenizer", error) from error


def load_config(model: str | Path) -> PretrainedConfig:
    """The configuration of a model, without any code of its own. Raises ValueError, in one line."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(place_of(model), **NO_CODE)
    except Exception as error:
        raise unloadable(model, "configuration", error) from error


def unloadable(model: str | Path, part: str, error: Exception) -> ValueError:
    """The error for a model of which a part cannot be loaded, in one line with the fix."""
    text = str(error)
    if "trust_remote_code" in text or "execute the" in text:
        return ValueError(
            f"the {part} of model {model} needs code that comes with the model (auto_map), which is never run; give a "
            "model that transformers knows, or convert it"
        )
    return ValueError(
        f"the {part} of model {model} cannot be loaded ({type(error).__name__}: {one_line(text, 300)}); give a whole "
        "Hugging Face model folder or id"
    )


def read_prompt(folder: Path) -> PromptConfig | None:
    """The prompt that a model's folder says it was trained with, None where it says nothing. Raises ValueError."""
    path = folder / PROMPT_FILE
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > 2**20:
            raise ValueError("it has more than 1 MiB")
        return PromptConfig.model_validate_json(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no prompt configuration: {one_line(error, 300)}; fix or remove it") from None


def brought_by(model: str) -> str:
    """What a model brings that shapes prompts and answers, in one line; "" where it brings nothing of the kind."""
    folder = _folder(model)
    if folder is None:
        return ""
    settings = _json(folder / "tokenizer_config.json")
    prompt = _prompt(folder) if Path(model).is_dir() else []  # one of the Hub is not used
    found = [*prompt, *_chat_template(folder, settings), *_defaults(folder)]
    if "auto_map" in settings or "auto_map" in _json(folder / MODEL_CONFIG) or any(folder.glob("*.py")):
        found.append("code of its own, which is never run")
    return one_line(f"the model's folder brings {'; '.join(found)}", 500) if found else ""


def read_config(model: str) -> dict[str, Any]:
    """The content of a model's config.json, {} where it is not at hand: nothing is downloaded or imported for it."""
    folder = _folder(model)
    return _json(folder / MODEL_CONFIG) if folder is not None else {}


def _folder(model: str) -> Path | None:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, MODEL_CONFIG)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; {} where there is none, whose loader says so."""
    try:
        if not path.is_file() or path.stat().st_size > _BIGGEST:
            return {}
        found = json_text.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _prompt(folder: Path) -> list[str]:
    prompt = read_prompt(folder)
    if prompt is None:
        return []
    parts = [f"style {prompt.style}"]
    if prompt.template:
        parts.append(f"a template of {len(prompt.template):,} characters")
    if prompt.system:
        parts.append(f"a system message of {len(prompt.system):,} characters")
    if prompt.shots:
        parts.append(f"{len(prompt.shots)} shots")
    return [f"a prompt ({PROMPT_FILE}: {', '.join(parts)})"]


def _chat_template(folder: Path, settings: dict[str, Any]) -> list[str]:
    file = folder / "chat_template.jinja"
    size = file.stat().st_size if file.is_file() else len(json.dumps(settings.get("chat_template", "")))
    return [f"a chat template of {size:,} characters"] if size > 2 else []


def _defaults(folder: Path) -> list[str]:
    """Of the defaults of generation only the end tokens count: engines take them from there, and nothing else."""
    ends = _json(folder / "generation_config.json").get("eos_token_id")
    return [f"end tokens {one_line(ends, 60)}"] if ends is not None else []
