"""A command's options: the dotted keys of its configuration, on the command line and in YAML files alike.

`parse` reads them over one another: defaults, `--config FILE.yaml`, the command line. Values are checked by the
configuration's own model, wherever they were given, so every mistake is reported in the same words and in one line.
"""

from __future__ import annotations

import difflib
import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cluster.address import NoCluster, check_cluster
from pipelines.artifacts.plain_files import Unreadable, read_yaml
from pipelines.errors import ConfigError
from problems.auto import as_set, without_word

RENAMED = {
    "rollout.averaged_samples": "rollout.ema_samples",
    "transfer": "sft",
    "target": "require",
    "before_below": "require",
    "hub_repo": "push",
    "hub_private": "publish.public",
}
"""Old name of a key or of a section -> the new one. Old names are refused with the new one named."""

HELP = ("-h", "--help", "--help-all")

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class OwnOption:
    """An option of a command that is no key of its configuration."""

    name: str
    metavar: str
    """"" for one that takes no value."""
    text: str


def parse(
    model: type[Model], argv: Sequence[str], *, prog: str, default: Model | None = None, own: Sequence[OwnOption] = ()
) -> Model:
    """Reads `--config FILE.yaml` and then dotted options over it; `--help` prints them and ends the process.

    `own` are options of the command that its caller has read, for the help.

    Raises ConfigError, in one line, where something is wrong, or where the cluster to join does not answer.
    """
    argv = list(argv)
    start = default if default is not None else model()
    while (path := take_option(argv, "--config")) is not None:
        start = load_yaml(model, Path(path), start, check_unused=True)
    if any(argument in HELP for argument in argv):
        from pipelines.help import print_help

        print_help(model, start, argv, prog, own)
        raise SystemExit(0)
    given = read_options(model, argv)
    refuse_unused(model, given)
    data = nested({key: value_of(key, tokens, leaves(model)[key]) for key, tokens in given.items()})
    try:
        config = model.model_validate(over(model, start, data))
    except ValidationError as error:
        raise ConfigError(explain(error, model)) from None
    refuse_idle(config, given)
    _check_address(config)
    return config


# --- the command line


def read_options(model: type[BaseModel], argv: Sequence[str]) -> dict[str, list[str]]:
    """Dotted key -> what was given for it, of `--key value ...` and `--key=value`. Raises ConfigError.

    The last one counts where an option is given twice. A word that begins with `--` is an option, never a value.
    """
    given: dict[str, list[str]] = {}
    values: list[str] | None = None
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            key = name.replace("-", "_")
            if key not in leaves(model):
                raise ConfigError(_no_option(model, name, key))
            given[key] = [value] if equals else []
            values = None if equals else given[key]
        elif values is None:
            raise ConfigError(f"{word!r} belongs to no option; options are written --NAME VALUE")
        else:
            values.append(word)
    return given


def _no_option(model: type[BaseModel], name: str, key: str) -> str:
    if key in option_keys(model):
        inner = [known for known in leaves(model) if known.startswith(f"{key}.")]
        if inner:
            return (
                f"--{name} is a section; its options are {', '.join(f'--{_hyphens(known)}' for known in inner[:4])} ..."
            )
        return f"{key} cannot be given as an option; set it in a file, --config FILE.yaml"
    if new := renamed(key):
        return f"--{name} is now --{_hyphens(new)}"
    near = nearest(key, [known for known in leaves(model) if known not in _unused(model)])
    return f"there is no option --{name}; " + (f"did you mean --{_hyphens(near)}?" if near else "see --help-all")


def value_of(key: str, words: Sequence[str], field: FieldInfo) -> Any:
    """What was written after an option, as YAML would have it: several words are a list, pairs of them a mapping.

    A value that has an inner structure is written as one word of YAML. Raises ConfigError for a missing value, or for
    one too many.
    """
    kinds = _kinds(field.annotation)
    collections = [kind for kind in kinds if _is_collection(kind)]
    if list(words) == ["None"] and type(None) in kinds:
        return None
    if len(words) == 1 and any(words[0] in get_args(kind) for kind in kinds if get_origin(kind) is Literal):
        return words[0]
    if not collections:
        if len(words) != 1:
            wanted = "True or False" if bool in kinds else "one value"
            raise ConfigError(f"--{_hyphens(key)} takes {wanted}" + (f", not {' '.join(words)!r}" if words else ""))
        return words[0]
    if is_structured(field.annotation) or (len(words) == 1 and words[0].startswith(("[", "{"))):
        try:
            return yaml.safe_load(" ".join(words))
        except yaml.YAMLError:
            raise ConfigError(f"--{_hyphens(key)} takes one word of YAML, and {' '.join(words)!r} is none") from None
    if issubclass(get_origin(collections[0]) or collections[0], Mapping):
        if len(words) % 2:
            raise ConfigError(f"--{_hyphens(key)} takes pairs of a name and a value, and {words[-1]!r} has no value")
        return dict(zip(words[::2], words[1::2]))
    return list(words)


def is_structured(annotation: Any) -> bool:
    """Whether values are lists or mappings of things that have several parts, which no row of words can say."""
    inner = [item for kind in _kinds(annotation) if _is_collection(kind) for item in get_args(kind)]
    return any(_is_collection(item) or _is_model(item) for outer in inner for item in _kinds(outer))


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have: those of a union, and what Annotated annotates."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(kind for part in get_args(annotation) for kind in _kinds(part))
    return (annotation,)


def _is_collection(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, tuple | list | Mapping)


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def take_option(argv: list[str], flag: str) -> str | None:
    """Removes `flag VALUE` (or `flag=VALUE`) from `argv` and returns the value; the first there is."""
    for index, argument in enumerate(argv):
        if argument == flag:
            if index + 1 >= len(argv):
                raise ConfigError(f"{flag} needs a value")
            value = argv[index + 1]
            del argv[index : index + 2]
            return value
        if argument.startswith(flag + "="):
            del argv[index]
            return argument.partition("=")[2]
    return None


# --- configuration files


def load_yaml(model: type[Model], path: Path, base: Model | None = None, check_unused: bool = False) -> Model:
    """A configuration file over `base`. Raises ConfigError, naming file, key and the nearest known key."""
    if not path.is_file():
        raise ConfigError(f"there is no configuration file {path}")
    try:
        data = read_yaml(path) or {}
    except Unreadable as error:
        raise ConfigError(str(error)) from None
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path} must hold keys and values, and holds a {type(data).__name__}")
    if check_unused:
        refuse_unused(model, data=data)
    try:
        return model.model_validate(over(model, base or model(), data))
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, model)}") from None


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        functools.reduce(lambda inner, part: inner.setdefault(part, {}), parents, found)[leaf] = value
    return found


def over(model: type[BaseModel], base: BaseModel, data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` on top of what `base` sets; what follows the model and is set by neither, or is `auto`, stays unset.

    What the value of a key in the model's `presets` stands for lies in between. Raises ConfigError for an unknown one.
    """
    below = as_set(base)
    for key, load in getattr(model, "presets", {}).items():
        if isinstance(name := data.get(key), str) and name:
            below = merged(model, below, load(name))
    return without_word(model, merged(model, below, data))


def merged(model: type[BaseModel], base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, section by section: a section keeps what `over` says nothing of.

    A key that a model's `replaces` names takes the place of others, which it drops where `over` does not give them too:
    a job's own families are no contradiction to the data sets that are asked instead.
    """
    found = dict(base)
    for key, others in getattr(model, "replaces", {}).items():
        if over.get(key):
            found = {name: value for name, value in found.items() if name not in others}
    for key, value in over.items():
        section = model.model_fields[key].annotation if key in model.model_fields else None
        if _is_model(section) and isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            value = merged(section, found[key], value)
        found[key] = value
    return found


# --- what cannot be used


def refuse_unused(model: type[BaseModel], options: Sequence[str] | Mapping[str, Any] = (), data: Any = None) -> None:
    """Raises ConfigError, naming key and reason, for an option that the command of `model` does not use.

    Refused are `options`, whatever their value, and keys of a configuration file's `data` with another value than the
    default: what a run folder records holds all keys, and can be given to `--config` again.
    """
    for key, reason in _unused(model).items():
        given = next((option for option in options if option == key or option.startswith(f"{key}.")), None)
        if given is None and _differs(functools.reduce(_inner, key.split("."), data), _default_of(model(), key)):
            given = key
        if given is not None:
            raise ConfigError(f"{given} has no effect here: {reason}; leave it out")


def refuse_idle(config: BaseModel, options: Sequence[str] | Mapping[str, Any]) -> None:
    """Raises ConfigError for an option that has no effect beside the others.

    A model says so by `idle()`: key, or section -> the option that decides it, and its value. A configuration file may
    hold it: it is of use with another value of the deciding option.
    """
    idle: Mapping[str, tuple[str, str]] = getattr(config, "idle", dict)()
    for option in options:
        for key, (decides, value) in idle.items():
            if option == key or option.startswith(f"{key}."):
                raise ConfigError(f"{option} has no effect with {decides} {value}: leave it out, or change {decides}")


def is_used(model: type[BaseModel], key: str) -> bool:
    """Whether the command of `model` uses a key at all."""
    return not any(key == unused or key.startswith(f"{unused}.") for unused in _unused(model))


def _unused(model: type[BaseModel]) -> Mapping[str, str]:
    return getattr(model, "unused", {})


def _inner(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, Mapping) else None


def _differs(given: Any, default: Any) -> bool:
    """Whether something else is given than the default; what is left out of a section is not given."""
    if given is None:
        return False
    if isinstance(default, BaseModel):
        default = {name: getattr(default, name) for name in type(default).model_fields}
    if isinstance(given, Mapping) and isinstance(default, Mapping) and default:
        return any(_differs(value, default.get(key)) for key, value in given.items())
    return given != (list(default) if isinstance(default, tuple) else default)


def _default_of(config: BaseModel, key: str) -> Any:
    value = functools.reduce(getattr, key.split("."), config)
    return str(value) if isinstance(value, Path) else value


def _check_address(config: BaseModel) -> None:
    """Finds out before anything is made that the cluster to join does not answer. Raises ConfigError."""
    parts: tuple[Any, ...] = (config, *(getattr(config, name) for name in type(config).model_fields))
    address = next((part.address for part in parts if isinstance(getattr(part, "address", None), str)), None)
    if address is not None:
        try:
            check_cluster(address)
        except NoCluster as error:
            raise ConfigError(str(error)) from None


# --- keys and their names


@functools.cache
def leaves(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The dotted keys that have a value, in their order; sections have none."""
    return dict(_leaves(model))


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if _is_model(field.annotation):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def option_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted keys of a configuration, those of whole sections and of the items of lists included."""
    found = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if _is_model(kind):
                found += option_keys(kind, f"{prefix}{name}.")
    return found


def renamed(key: str) -> str:
    """The new name of a key whose name, or a section of it, is an old one; else ""."""
    parts = key.split(".")
    for start in range(len(parts)):
        for end in range(len(parts), start, -1):
            if new := RENAMED.get(".".join(parts[start:end])):
                return ".".join([*parts[:start], new, *parts[end:]])
    return ""


def nearest(key: str, known: Sequence[str]) -> str:
    """The known key that was probably meant; "" where none is near."""
    leaf = key.rpartition(".")[2]
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return next(iter(found or [other for other in known if other.rpartition(".")[2] == leaf]), "")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault of a validation error in one line; for an unknown key, with its new name or the nearest one."""
    first = error.errors()[0]
    # Beside keys and positions pydantic names the branch of a union, "literal['all-linear']" say.
    where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())
    if first["type"] == "extra_forbidden":
        if new := renamed(where):
            return f"{where} is now {new}"
        near = nearest(where, option_keys(model))
        return f"unknown configuration key {where}; " + (f"did you mean {near}?" if near else "see --help-all")
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    if first["type"] != "value_error" and isinstance(given, str | int | float):
        return f"{where} {given!r}: {message}"
    return f"{where}: {message}" if where else message


def _hyphens(key: str) -> str:
    return key.replace("_", "-")
