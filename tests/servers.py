"""Servers of the Messages and the chat API for tests: a real vLLM, a front that fails to order and keeps batches."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SECRET = "sk-test-1234567890"
"""The key that the vLLM server wants."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serve_messages(model, log, seconds=240, port=None):
    """A vLLM server of `model`, ended with the block. Yields its address."""
    port = port or free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name",
        "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-model-len",
        "4096", "--max-num-seqs", "16",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_API_KEY": SECRET,
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",  # the teacher's instructions are long in a tiny vocabulary
    }
    with open(log, "wb") as output:
        # A session of its own: its engine is a child that must end with it.
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + seconds
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/health", timeout=2)
                break
            time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)


def error_body(kind, message):
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def cut(events, promised=None, stall=0):
    """An answer for `Front.script` of which so many events come; with `promised` bytes announced the connection breaks,
    without it the stream ends as if it were whole."""
    body = b"".join(part + b"\n\n" for part in as_events(message("def f(n):")).split(b"\n\n")[:events])
    headers = {"content-type": "text/event-stream"} | ({"content-length": str(promised)} if promised else {})
    return 200, headers | ({"x-stall": str(stall)} if stall else {}), body


def busy(status=529, kind="overloaded_error", **headers):
    """An answer for `Front.script`."""
    return status, headers, error_body(kind, f"no, {kind}")


def message(text, stop_reason="end_turn", model="tiny", input_tokens=11, output_tokens=7):
    """A whole message, as the API writes it."""
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    content = [{"type": "text", "text": text}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": None, "usage": usage}  # fmt: skip


def as_events(whole):
    """A message as the stream of events that the API sends."""
    text = whole["content"][0]["text"]
    start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 0}}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
         "usage": {"output_tokens": whole["usage"]["output_tokens"]}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()


def as_chunks(whole, usage=True):
    """The same answer as the stream of chunks that the chat API sends."""
    reason = {"end_turn": "stop", "max_tokens": "length"}.get(whole["stop_reason"], whole["stop_reason"])
    of_all = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": whole["model"]}
    text, counts = whole["content"][0]["text"], whole["usage"]
    deltas = [({"role": "assistant", "content": ""}, None), ({"content": text}, None), ({}, reason)]
    chunks = [{**of_all, "choices": [{"index": 0, "delta": d, "finish_reason": r}]} for d, r in deltas]
    if usage:
        prompt, completion = counts["input_tokens"], counts["output_tokens"]
        of_tokens = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        chunks.append({**of_all, "choices": [], "usage": of_tokens})
    return b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks) + b"data: [DONE]\n\n"


def cut_chat(chunks, promised=None):
    """As `cut`, of the chat API."""
    body = b"".join(part + b"\n\n" for part in as_chunks(message("def f(n):")).split(b"\n\n")[:chunks])
    headers = {"content-type": "text/event-stream"} | ({"content-length": str(promised)} if promised else {})
    return 200, headers, body


class LocalServer(ThreadingHTTPServer):
    """Serves on a free port of this machine, in threads, until the end of its `with` block."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients that hang up are what these servers are for; any other error is one of the server itself."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def __exit__(self, *exception):
        self.shutdown()
        super().__exit__(*exception)


class Front(LocalServer):
    """Answers what `script` holds, in order, and then passes requests on; keeps Message Batches itself.

    `reply(body)` may answer in the stead of the server behind: a whole message as a dict.
    """

    def __init__(self, upstream="", reply=None, polls=2):
        self.upstream, self.reply, self.polls = upstream, reply, polls
        self.script, self.seen, self.batches, self.results = [], [], {}, {}
        self.cut_results = []
        """Of each reading of a batch's results, the lines after which it breaks off."""
        self.cut_cleanly = False
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        super().__init__(_Handler)

    def asked(self, path="/v1/messages"):
        """Bodies of the requests that came for a path."""
        return [body for method, at, body, _ in self.seen if (method, at) == ("POST", path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._handle("GET")

    def do_POST(self):
        self._handle("POST")

    def _handle(self, method):
        front = self.server
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else {}
        with front.lock:
            front.seen.append(
                (
                    method,
                    self.path.partition("?")[0],
                    body,
                    {name.lower(): value for name, value in self.headers.items()},
                )
            )
            front.in_flight += 1
            front.most_in_flight = max(front.most_in_flight, front.in_flight)
            scripted = front.script.pop(0) if front.script else None
        try:
            if scripted is not None:
                self._send(*scripted)
            elif self.path.startswith("/v1/messages/batches"):
                self._batches(method, body)
            elif front.reply is not None:
                whole = front.reply(body)
                stream = as_chunks if self.path.startswith("/v1/chat/") else as_events
                self._send(200, {"content-type": "text/event-stream"}, stream(whole))
            else:
                self._send(*self._pass_on(raw))
        finally:
            with front.lock:
                front.in_flight -= 1

    def _pass_on(self, raw):
        at = urlsplit(self.server.upstream)
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=120)
        headers = {"content-type": "application/json", "authorization": f"Bearer {SECRET}"}
        connection.request("POST", "/v1/chat/completions" if "/chat/" in self.path else "/v1/messages", raw, headers)
        answer = connection.getresponse()
        return answer.status, {"content-type": answer.headers["content-type"]}, answer.read()

    def _batches(self, method, body):
        front, parts = self.server, self.path.partition("?")[0].split("/")
        if method == "POST":
            number = f"msgbatch_{len(front.batches) + 1}"
            front.batches[number] = {"requests": body["requests"], "left": front.polls}
            return self._send_json(self._batch(number))
        number = parts[4]
        if parts[-1] == "results":
            rows = [self._result(request) for request in front.batches[number]["requests"]]
            lines = "".join(json.dumps(row) + "\n" for row in reversed(rows)).encode()
            headers = {"content-type": "application/x-jsonl"}
            if front.cut_results:
                kept = b"".join(lines.splitlines(keepends=True)[: front.cut_results.pop(0)])
                headers |= {} if front.cut_cleanly else {"content-length": str(len(lines))}
                lines = kept if front.cut_cleanly else kept + b'{"custom_id": '
            return self._send(200, headers, lines)
        front.batches[number]["left"] -= 1
        return self._send_json(self._batch(number))

    def _batch(self, number):
        batch = self.server.batches[number]
        ended = batch["left"] <= 0
        zero = {"canceled": 0, "errored": 0, "expired": 0, "processing": 0, "succeeded": 0}
        results = f"{self.server.url}/v1/messages/batches/{number}/results"
        return {
            "id": number,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {**zero, "succeeded" if ended else "processing": len(batch["requests"])},
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z",
            "results_url": results if ended else None,
        }

    def _result(self, request):
        planned = self.server.results.get(request["params"]["messages"][0]["content"], [])
        if planned:
            return {"custom_id": request["custom_id"], "result": planned.pop(0)}
        if self.server.reply is not None:
            whole = self.server.reply(request["params"])
        else:
            whole = json.loads(self._pass_on(json.dumps(request["params"]).encode())[2])
        return {"custom_id": request["custom_id"], "result": {"type": "succeeded", "message": whole}}

    def _send_json(self, value):
        self._send(200, {"content-type": "application/json"}, json.dumps(value).encode())

    def _send(self, status, headers, body):
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        if "content-length" not in headers:
            self.send_header("content-length", str(len(body)))
        else:  # more is promised than comes: the connection breaks
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        time.sleep(float(headers.get("x-stall", 0)))
