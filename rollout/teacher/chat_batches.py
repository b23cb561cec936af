"""Batches of OpenAI's chat API: requests as a file, answers as files, within a day and at half the price.

The same face as the Message Batches API has, for `rollout.teacher.message_batches`, which waits, books and deals out.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from openai.types.chat import ChatCompletion

from rollout.teacher.answer import Message, read_text
from rollout.teacher.chat_api import counts_of
from rollout.teacher.cost_ledger import Usage
from rollout.teacher.errors import BrokenAnswer, Untrusted

ENDPOINT = "/v1/chat/completions"
_FILE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_STATES = {
    "validating": "in_progress", "in_progress": "in_progress", "finalizing": "in_progress",
    "cancelling": "canceling", "completed": "ended", "failed": "ended", "expired": "ended", "cancelled": "ended",
}  # fmt: skip
"""In the words of the Message Batches API."""


class ChatBatches:
    """Batches of a server of the chat API. `client` is the SDK's."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def create(self, requests: Sequence[Mapping[str, Any]]) -> Any:
        """Hands requests in, each a `custom_id` and its `params`. Raises Untrusted for a file without an id."""
        rows = [{"custom_id": r["custom_id"], "method": "POST", "url": ENDPOINT, "body": r["params"]} for r in requests]
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file = await self._client.files.create(file=("requests.jsonl", lines), purpose="batch")
        return await self._client.batches.create(
            input_file_id=_file_id(getattr(file, "id", None)), endpoint=ENDPOINT, completion_window="24h"
        )

    async def retrieve(self, batch: str) -> Any:
        """Its id and its `processing_status`."""
        found = await self._client.batches.retrieve(batch)
        status = getattr(found, "status", None)
        return SimpleNamespace(
            id=getattr(found, "id", None),
            processing_status=_STATES.get(status) if isinstance(status, str) else None,
        )

    async def results(self, batch: str, keys: Collection[str]) -> AsyncGenerator[Any, None]:
        """A result for each request that has one; where the whole batch was refused, that for each of `keys`."""
        found = await self._client.batches.retrieve(batch)
        if getattr(found, "status", None) == "failed":
            faults = getattr(getattr(found, "errors", None), "data", None)
            message = getattr(faults[0], "message", None) if isinstance(faults, list) and faults else None
            for key in keys:
                yield _errored(key, "invalid_request_error", f"the batch was refused: {message}")
            return
        for name in ("output_file_id", "error_file_id"):
            file = getattr(found, name, None)
            if file is not None:
                async for row in self._rows(_file_id(file)):
                    yield _result(row)

    async def _rows(self, file: str) -> AsyncGenerator[Any, None]:
        """The lines of a file. Its bytes and the length of each line are bounded by the connection."""
        rest = b""
        async with self._client.files.with_streaming_response.content(file) as answer:
            async for part in answer.iter_bytes():
                # Not by lines of text: a separator of Unicode's own may stand within a JSON string.
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
        if rest.strip():
            yield json.loads(rest)

    @staticmethod
    def read(body: Any, bound: Usage) -> Message:
        """A whole completion. Raises BrokenAnswer where it lacks parts, and AnswerTooLarge."""
        try:
            whole = ChatCompletion.construct(**body)
            choice = whole.choices[0]
            counts = counts_of(whole.usage) if whole.usage is not None else {}
            return read_text(choice.message.content or "", choice.finish_reason, whole.model, counts, bound)
        except (TypeError, AttributeError, LookupError, ValueError) as error:
            raise BrokenAnswer(f"the answer lacks parts ({type(error).__name__})") from None


def _result(row: Any) -> Any:
    """One line of an output or an error file, in the shape of the Message Batches API. Raises what `TORN` lists."""
    key, response, error = row["custom_id"], row.get("response"), row.get("error")
    if isinstance(response, dict) and response.get("status_code") == 200:
        return SimpleNamespace(custom_id=key, result=SimpleNamespace(type="succeeded", message=response.get("body")))
    if isinstance(error, dict) and error.get("code") in ("batch_expired", "batch_cancelled"):
        return SimpleNamespace(custom_id=key, result=SimpleNamespace(type=error["code"].removeprefix("batch_")))
    body = response.get("body") if isinstance(response, dict) else None
    inner = body.get("error") if isinstance(body, dict) else error
    inner = inner if isinstance(inner, dict) else {}
    status = response.get("status_code") if isinstance(response, dict) else None
    kind = "invalid_request_error" if status in (400, 404, 422) else inner.get("type") or inner.get("code")
    return _errored(key, kind, inner.get("message"))


def _errored(key: Any, kind: Any, message: Any) -> Any:
    fault = SimpleNamespace(error=SimpleNamespace(type=kind, message=message))
    return SimpleNamespace(custom_id=key, result=SimpleNamespace(type="errored", error=fault))


def _file_id(found: Any) -> str:
    if not isinstance(found, str) or not _FILE.fullmatch(found):
        raise Untrusted("it gives a file an id that is none")
    return found
