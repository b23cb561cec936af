"""OpenAI's chat API, by the `openai` SDK: OpenAI itself, vLLM, llama.cpp, Gemini's compatible endpoint.

A stream is a row of chunks: text, then the reason to stop, then (where the server counts) the tokens of all, at last
`[DONE]`, which the SDK keeps to itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai
from pydantic import SecretStr

from rollout.teacher.answer import Incoming
from rollout.teacher.config import TeacherConfig
from rollout.teacher.connection import http_client
from rollout.teacher.cost_ledger import Usage


class ChatApi:
    """A server of the chat API. Raises TeacherStopped where the environment names a proxy that cannot be used."""

    def __init__(self, config: TeacherConfig, key: SecretStr) -> None:
        self.http = http_client(config, key)
        self._client = openai.AsyncOpenAI(
            api_key=key.get_secret_value(),
            base_url=config.url,
            max_retries=config.sdk_retries,
            timeout=config.timeout,
            http_client=self.http,
        )

    @property
    def batches(self) -> Any:
        """Its batches, in the shape of the Message Batches API."""
        from rollout.teacher.chat_batches import ChatBatches

        return ChatBatches(self._client)

    async def stream(self, body: Mapping[str, Any]) -> Any:
        """Sends a request; its answer as a stream of chunks, a context manager."""
        return await self._client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True})

    def incoming(self, bound: Usage) -> Incoming:
        """A reader of one such stream."""
        return ChatChunks(bound)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()


class ChatChunks(Incoming):
    """The chunks of a completion. It is whole with its reason to stop; a server that does not count is charged the
    most that the request may use."""

    def _take(self, event: Any) -> None:
        self._model = getattr(event, "model", None) or self._model
        for choice in event.choices or ():
            if getattr(choice, "index", None) not in (0, None):
                continue
            delta = choice.delta
            self._add(getattr(delta, "content", None) or "")
            for thought in ("reasoning_content", "reasoning"):  # vLLM and others set it apart
                self._add(getattr(delta, thought, None) or "", shown=False)
            self._stop_reason = choice.finish_reason or self._stop_reason
        usage = getattr(event, "usage", None)
        if usage is not None:
            self._count(counts_of(usage))
        self.ended = usage is not None and self._stop_reason is not None


def counts_of(usage: Any) -> dict[str, Any]:
    """In the names of the Messages API, whose kinds do not overlap: here the prompt includes what was cached."""
    details = getattr(usage, "prompt_tokens_details", None)
    prompt, cached = getattr(usage, "prompt_tokens", None), getattr(details, "cached_tokens", None)
    if type(prompt) is int and type(cached) is int:
        prompt -= cached
    return {
        "input_tokens": prompt,
        "output_tokens": getattr(usage, "completion_tokens", None),
        "cache_read_input_tokens": cached,
    }
