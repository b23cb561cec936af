"""Anthropic's Messages API, by the `anthropic` SDK: what is sent, and how answers are read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any

import anthropic
from pydantic import SecretStr

from rollout.teacher.answer import Incoming, Message, read_text
from rollout.teacher.config import TeacherConfig
from rollout.teacher.connection import http_client
from rollout.teacher.cost_ledger import Usage
from rollout.teacher.errors import BrokenAnswer

_USAGE = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class MessagesApi:
    """A server of the Messages API. Raises TeacherStopped where the environment names a proxy that cannot be used."""

    def __init__(self, config: TeacherConfig, key: SecretStr) -> None:
        self.http = http_client(config, key)
        self._client = anthropic.AsyncAnthropic(
            api_key=key.get_secret_value(),
            base_url=config.url,
            max_retries=config.sdk_retries,
            timeout=config.timeout,
            http_client=self.http,
        )
        self.batches = MessageBatches(self._client.messages.batches)

    async def stream(self, body: Mapping[str, Any]) -> Any:
        """Sends a request; its answer as a stream of events, a context manager."""
        body = dict(body)
        # By a way of its own: not every version of the SDK, nor every model, knows a temperature.
        extra = {"temperature": body.pop("temperature")} if "temperature" in body else None
        return await self._client.messages.create(**body, stream=True, extra_body=extra)

    def incoming(self, bound: Usage) -> Incoming:
        """A reader of one such stream."""
        return MessageEvents(bound)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()


class MessageBatches:
    """The Message Batches API; `api` is the SDK's."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def create(self, requests: Sequence[Any]) -> Any:
        """Hands requests in, each a `custom_id` and its `params`."""
        return await self._api.create(requests=requests)

    async def retrieve(self, batch: str) -> Any:
        """Its id and its `processing_status`."""
        return await self._api.retrieve(batch)

    async def results(self, batch: str, keys: Collection[str]) -> AsyncGenerator[Any, None]:
        """A result for each request, in any order."""
        async for item in await self._api.results(batch):
            yield item

    @staticmethod
    def read(message: Any, bound: Usage) -> Message:
        """See `read_message`."""
        return read_message(message, bound)


class MessageEvents(Incoming):
    """The events of a message."""

    def __init__(self, bound: Usage) -> None:
        super().__init__(bound)
        self._kinds: dict[Any, str] = {}  # index of a block -> its type

    def _take(self, event: Any) -> None:
        if event.type == "message_start":
            self._model = event.message.model
            self._count(_counts(event.message.usage))
        elif event.type == "content_block_start":
            self._kinds[event.index] = event.content_block.type
            self._add_to(event.index, getattr(event.content_block, "text", ""))
        elif event.type == "content_block_delta":
            self._add_to(event.index, getattr(event.delta, "text", "") or getattr(event.delta, "thinking", ""))
        elif event.type == "message_delta":
            self._stop_reason = event.delta.stop_reason
            self._count(_counts(event.usage))
        elif event.type == "message_stop":
            self.ended = True

    def message(self) -> Message:
        """See `Incoming`: a message has an end of its own."""
        if not self.ended:
            raise BrokenAnswer("the answer broke off before its end")
        return super().message()

    def _add_to(self, index: Any, text: Any) -> None:
        self._add(text, shown=self._kinds.get(index) == "text")


def read_message(message: Any, bound: Usage) -> Message:
    """A whole answer as the SDK hands it out. Raises BrokenAnswer where it lacks parts, and AnswerTooLarge."""
    try:
        text = "".join([block.text for block in message.content if block.type == "text"])
        return read_text(text, message.stop_reason, message.model, _counts(message.usage), bound)
    except (TypeError, AttributeError, ValueError) as error:
        raise BrokenAnswer(f"the answer lacks parts ({type(error).__name__})") from None


def _counts(usage: Any) -> dict[str, Any]:
    return {name: getattr(usage, name, None) for name in _USAGE}
