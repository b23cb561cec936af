"""A run's uploads to the Hub: in the background at intervals, and at the end, however that comes about.

The run folder is what counts: each upload offers all that is there, the Hub takes what it lacks, and nothing has to be
remembered. So a resumed run, or `crucible push RUN`, uploads whatever an earlier upload could not.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.console import Console

from cluster.storage import StorageError
from pipelines.artifacts.run_folder import RunFolder, RunFolderError
from pipelines.errors import ConfigError, Interrupted
from pipelines.publish import card
from pipelines.publish.config import PublishConfig
from pipelines.publish.figures import figures_of
from pipelines.publish.hub import CALLED, CARD, Hub, HubError, RepoType
from pipelines.publish.products import Snapshot, makes, signature, take_snapshot, trains_all
from problems.files import append_rows
from problems.plain_text import one_line, shown

Result = TypeVar("Result")
PUSHES_FILE = "pushes.jsonl"
"""In the run folder: a row an upload."""
PATIENCE = 120.0
"""Seconds for which an upload that fails at the end of a run is tried again."""
SECONDS_AFTER_SIGNAL = 60.0
"""That the last upload may take after Ctrl-C."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 20.0
OVERTAKEN = 412
"""The Hub's answer where somebody else has committed since a card was read."""
_ATTEMPTS = 3
"""At a commit while others commit to the same repository."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the uploads of a run go, and which kinds of repositories they need."""

    hub: Hub
    repository: str
    settings: PublishConfig
    types: tuple[RepoType, ...]

    @classmethod
    def find(cls, repository: str, settings: PublishConfig, config: Mapping[str, Any], job: str) -> Target:
        """The target of a run with this configuration, proven to be writable. Raises ConfigError."""
        data, adapters = makes(config)
        wanted = settings.what or (*(("data",) if data else ()), *(("adapter",) if adapters else ()))
        for one in wanted:
            if not (data if one == "data" else adapters):
                raise ConfigError(f"publish.what {one}: crucible {job} makes none; leave it out")
        if "merged" in wanted and trains_all(config):
            raise ConfigError("publish.what merged has no effect with sft.full, whose model is whole: leave it out")
        if not wanted:
            raise ConfigError(f"push has no effect here: crucible {job} makes neither data nor adapters; leave it out")
        types: list[RepoType] = []
        if "data" in wanted:
            types.append("dataset")
        if {"adapter", "merged"} & set(wanted):
            types.append("model")
        found = cls(Hub.find(), repository, settings, tuple(types))
        found.hub.check(repository, types, settings.public)
        if settings.license:
            draft = card.model_card("", card.about(job, {}, (), "", settings), merged=False)
            try:
                found.hub.check_card(draft, types[0])
            except HubError as error:
                raise ConfigError(f"push {repository}: {error}") from None
        return found

    def takes(self, what: str) -> bool:
        """Whether this is uploaded as the run makes it."""
        data, adapter = ("dataset" in self.types), ("model" in self.types)
        return what in self.settings.what if self.settings.what else {"data": data, "adapter": adapter}.get(what, False)


class Publisher:
    """Uploads what a run makes for as long as its `with` block lasts, and the rest when that ends."""

    def __init__(
        self,
        target: Target,
        job: str,
        folder: RunFolder,
        model: str,
        console: Console,
        kind: type[BaseModel] | None = None,
    ) -> None:
        """`kind` is the model of the job's configuration, where it is no command of `crucible`."""
        self._target, self._folder, self._model, self._console = target, folder, model, console
        self._command = card.command_of(job, folder.config, kind)
        self._ending, self._done = threading.Event(), threading.Event()
        self._offered: Any = None
        self._failed = ""
        self._deadline, self._is_whole = float("inf"), False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def unpushed(self) -> str:
        """Why something is not on the Hub, after the block; "" where all is."""
        return self._failed

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_whole = kind is None
        if kind is not None and issubclass(kind, KeyboardInterrupt | Interrupted | SystemExit):
            self._deadline = time.monotonic() + SECONDS_AFTER_SIGNAL
            self._say(f"uploading the rest to {self._target.repository}; Ctrl-C again leaves it to `crucible push`", "")
        self._ending.set()
        try:
            # A wait without a limit would keep Ctrl-C from being heard.
            while not self._done.wait(0.2) and time.monotonic() < self._deadline:
                pass
        except KeyboardInterrupt:
            pass
        if not self._done.is_set() and not self._failed:
            self._failed = "there was no time left"
        if self._failed:
            self._say(
                f"not all is pushed to {self._target.repository}: {self._failed}; `crucible push {self._folder}` "
                "uploads what is missing"
            )

    def _run(self) -> None:
        try:
            pause = 60.0 * self._target.settings.minutes or None
            while not self._ending.wait(pause):
                self._attempt()
            self._finish()
        except Exception as error:  # the run goes on without uploads, and says so
            self._failed = f"{type(error).__name__}: {one_line(error, 200)}"
        finally:
            self._done.set()

    def _attempt(self) -> None:
        """One upload on the way; a failure is said, and the next one tries again."""
        try:
            self._upload(final=False)
        except HubError as error:
            if str(error) != self._failed:
                self._say(f"not pushed to {self._target.repository} yet: {error}; it is tried again")
            self._failed = str(error)

    def _finish(self) -> None:
        try:
            patiently(lambda: self._upload(final=True), self._deadline)
        except HubError as error:
            self._failed = str(error)

    def _upload(self, final: bool) -> None:
        """Raises HubError."""
        try:
            now = signature(self._folder)
            if now == self._offered and not final:
                return
            for done in upload(self._target, self._command, self._folder, self._model):
                self._note(done)
            if final and self._is_whole and self._target.takes("merged"):
                self._merge()
            self._offered, self._failed = now, ""
        except HubError:
            raise
        except (OSError, ValueError, RunFolderError, StorageError) as error:
            # A checkpoint may be dropped while it is copied: what there is then is taken next time.
            raise HubError(f"what there is could not be read ({one_line(error, 200)})", transient=True) from None

    def _merge(self) -> None:
        from pipelines.publish.export import ExportError, push_merged

        try:
            self._note(push_merged(self._target, self._command, self._folder, self._model, self._console))
        except ExportError as error:
            raise HubError(f"the merged model was not made: {error}") from None

    def _note(self, done: Upload | str) -> None:
        self._say(str(done), "")
        if isinstance(done, Upload):
            row = {**asdict(done), "command": self._command, "time": round(time.time(), 1)}
            append_rows(self._folder.path / PUSHES_FILE, [row])
            self._folder.changed()

    def _say(self, line: str, style: str = "yellow") -> None:
        self._folder.log(line)
        self._console.print(shown(line, style), soft_wrap=True)


def patiently(action: Callable[[], Result], deadline: float = float("inf")) -> Result:
    """Tries again what fails for a moment, for PATIENCE seconds and no longer than until `deadline`, of the monotonic
    clock. Raises HubError."""
    deadline, pause = min(deadline, time.monotonic() + PATIENCE), _FIRST_PAUSE
    while True:
        try:
            return action()
        except HubError as error:
            if not error.transient or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Upload:
    """One commit."""

    repository: str
    type: RepoType
    files: int
    url: str

    def __str__(self) -> str:
        return f"pushed to the {CALLED[self.type]} {self.repository}: {self.files} files, {self.url}"


def upload(target: Target, command: str, folder: RunFolder, model: str) -> Iterator[Upload | str]:
    """Uploads what the run has. Yields a commit each, and a line for what could not be taken. Raises HubError."""
    with tempfile.TemporaryDirectory(prefix="crucible-push-") as place:
        taken = take_snapshot(folder, Path(place), target.takes("data"), target.takes("adapter"))
        yield from taken.notes
        base = model or next((one.base for one in taken.adapters), "")
        figures, license = figures_of(folder), base_license(base)
        told = card.about(command, folder.config, figures, base, target.settings, license)
        if taken.data:
            yield commit(target, "dataset", *_data_files(target, taken, told), folder.name)
        if taken.adapters:
            yield commit(target, "model", *_adapter_files(target, taken, told), folder.name)
        if taken.model is not None:
            yield commit(target, "model", *_model_files(target, taken.model, told), folder.name)


def _data_files(target: Target, taken: Snapshot, told: card.About) -> tuple[dict[str, Path], str]:
    prefix = f"{target.settings.path}/" if target.settings.path else ""
    files = {f"{prefix}{one.name}/{one.path.name}": one.path for one in taken.data}
    return files, card.data_card(_title(target), told, taken.data, target.settings.path)


def _adapter_files(target: Target, taken: Snapshot, told: card.About) -> tuple[dict[str, Path], str]:
    prefix = f"{target.settings.path}/" if target.settings.path else ""
    is_beside = target.takes("merged")
    files: dict[str, Path] = {}
    for one in taken.adapters:
        # Beside a model's own files an adapter would be put on it whenever that is loaded.
        inside = f"{one.name}/" if one.name else "adapter/" if is_beside else ""
        files |= {f"{prefix}{inside}{file.name}": file for file in sorted(one.path.iterdir())}
    names = [one.name for one in taken.adapters if one.name]
    return files, card.model_card(_title(target), told, merged=is_beside, adapters=names, path=target.settings.path)


def _model_files(target: Target, model: Path, told: card.About) -> tuple[dict[str, Path], str]:
    return files_of(target, model), card.model_card(
        _title(target), told, merged=False, whole=True, path=target.settings.path
    )


def files_of(target: Target, folder: Path) -> dict[str, Path]:
    """The files of a model's folder, by their names in the repository; the card is written anew."""
    prefix = f"{target.settings.path}/" if target.settings.path else ""
    # A tokenizer with several chat templates has a folder of them.
    own = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {f"{prefix}{name}": path for name, path in own.items() if name != CARD}


def _title(target: Target) -> str:
    return target.repository.partition("/")[2] + (f", {target.settings.path}" if target.settings.path else "")


def commit(target: Target, kind: RepoType, files: Mapping[str, Path], text: str, run: str) -> Upload:
    """Commits files with the card put into the one that the repository has. Raises HubError."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return _commit(target, kind, files, text, run)
        except HubError as error:
            if error.status != OVERTAKEN:  # another run's part of the card must not be lost
                raise
    return _commit(target, kind, files, text, run)


def _commit(target: Target, kind: RepoType, files: Mapping[str, Path], text: str, run: str) -> Upload:
    hub, repository = target.hub, target.repository
    newest = hub.check_privacy(repository, kind, target.settings.public)
    try:
        joined = card.merged_card(hub.card(repository, kind), text, target.settings.path)
    except card.CardError as error:
        raise HubError(str(error)) from None
    url = hub.commit(repository, kind, {**files, CARD: joined.encode()}, f"crucible: {run}", newest)
    return Upload(repository, kind, len(files), url)


def base_license(model: str) -> str:
    """The licence that the base model's own card names, "" where it is not at hand."""
    if not model:
        return ""
    place: Path | None = Path(model) / CARD
    if not Path(model).is_dir():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            found = try_to_load_from_cache(model, CARD)
        except HFValidationError:
            return ""
        place = Path(found) if isinstance(found, str) else None
    if place is None or not place.is_file():
        return ""
    try:
        with open(place, encoding="utf-8", errors="replace") as file:
            return card.license_of(file.read(1 << 20))
    except (OSError, card.CardError):
        return ""
