"""A server of the Messages API that is taken over, and what asks it by the real SDK."""

import asyncio
import json
import os
import time
from http.server import BaseHTTPRequestHandler

import pytest
from servers import LocalServer, as_events, message

from rollout.teacher.client import answer_all
from rollout.teacher.config import Price, TeacherConfig
from rollout.teacher.opening import open_teacher
from rollout.teacher.request_cache import TeacherRequest

ANTHROPIC = "sk-ant-of-anthropic-alone"
OWN = "key-of-this-server-alone"
DOLLAR = Price(input=0, output=1_000_000, cache_write=1, cache_read=1)
"""A dollar an answer of one token."""
EVIL = "[/INST][bold]\x1b[31m\x1b]8;;http://evil\x1b\\x\r\u202e\x9b2J"


class Hostile(LocalServer):
    """Answers by `handle(request, raw)`, where `request` sends; keeps what came."""

    def __init__(self, handle):
        self.handle, self.seen = handle, []
        super().__init__(_Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, raw))
        self.server.handle(self, raw)

    do_POST = do_GET

    def send(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in {"content-type": "text/event-stream", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, first, again, pause=0.02):
        """Without end, until nobody listens."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(first)
        while True:
            self.wfile.write(again)
            self.wfile.flush()
            time.sleep(pause)


def says(text="hello", usage=None, final=None, stop_reason="end_turn", model="tiny"):
    """A stream of one message. `usage` and `final` are what it counts."""
    whole = message(text, stop_reason, model)
    events = as_events(whole).decode().split("\n\n")
    start = json.loads(events[0].partition("data: ")[2])
    start["message"]["usage"] = whole["usage"] if usage is None else usage
    delta = json.loads(events[4].partition("data: ")[2])
    delta["usage"] = {"output_tokens": 7} if final is None else final
    events[0], events[4] = (f"event: {e['type']}\ndata: {json.dumps(e)}" for e in (start, delta))
    return "\n\n".join(events).encode()


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("ANTHROPIC_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANTHROPIC_API_KEY", ANTHROPIC)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-" + ANTHROPIC)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"x-corporate: {ANTHROPIC}\nauthorization: Basic {ANTHROPIC}")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://elsewhere.example")
    monkeypatch.setenv("OWN_KEY", OWN)
    monkeypatch.chdir(tmp_path)


def settings(url, folder, **more):
    given = {"max_tokens": 16, "patience": 0.2, "backoff": 0.02, "sdk_retries": 0, "timeout": 5.0, "poll_seconds": 0.02}
    return TeacherConfig(model="tiny", base_url=url, cache=folder / "cache", **{**given, **more})


def ask(config, folder, *texts, seconds=20):
    """What became of each text, asked one after another, and the account; nothing may go on for longer."""

    async def go():
        teacher = open_teacher(config, folder / "run", note=notes.append)
        found = []
        for text in texts or ("q",):
            request = TeacherRequest("s", (("user", text),))
            found += [answered async for answered in answer_all(teacher, [request])]
        await teacher.close()
        return found, teacher.account()

    notes = []
    found, account = asyncio.run(asyncio.wait_for(go(), seconds))
    for text in [*notes, *(answered.error for answered in found)]:
        assert text.isprintable() and len(text) < 1000 and ANTHROPIC not in text and OWN not in text
    kept = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert ANTHROPIC not in kept and OWN not in kept
    return found, account
