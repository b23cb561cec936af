"""What a child runs: read the job, lock down, run the program, report each answer.

From its first line on, the program controls the child, so nothing that the child sends is trusted. It reports values;
the protocol has no message for "passed", and no expected value ever enters the child.

The job arrives as one marshalled tuple (from the trusted side, so it may be unmarshalled). Answers are sent back as
lines, one for each call, in order: a letter for the kind of answer, then text without line breaks.

Every page that a child touches for the first time costs a page fault, and page faults are most of the cost of a short
program. Hence this file does little, imports nothing more, and prefers what the interpreter has already loaded.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import _io
import atexit
import builtins
import contextlib
import io
import marshal
import os
import sys
import types

import codec

CHANNEL = 3
"""The job's private socket; the only descriptor besides 0, 1 and 2."""
FUNCTION, STREAM, SCRIPT, TEST_DRIVER, SERVE = range(5)
"""Modes: all calls sent at once; calls sent one by one; a whole program on standard input; a test driver that calls a
candidate; the candidate that it calls."""
HELLO, VALUE, RAISED, NOT_PLAIN, FLOOD, MEMORY, UNLOADED, DONE, CALL = (
    b"@",
    b"=",
    b"!",
    b"?",
    b"#",
    b"%",
    b"~",
    b".",
    b">",
)
"""Kinds of line. HELLO is sent before the program's first line: a failure without it is one of the infrastructure, a
failure after it one of the program."""
DETAIL = 300
"""Characters of an exception that are reported."""

FILE = "solution.py"
"""File name that a program sees for itself."""
_DEVICES = {
    f"{folder}{name}": number
    for number, standard in enumerate(("stdin", "stdout", "stderr"))
    for folder, name in (("/dev/", standard), ("/dev/fd/", number), ("/proc/self/fd/", number))
}
"""Descriptors by their device paths: the sandbox has no such files."""

_read, _write, _exit = os.read, os.write, os._exit
_loads, _dumps, _encode = marshal.loads, marshal.dumps, codec.encode
_size = int.from_bytes


def receive(buffer: bytes = b"") -> tuple:
    """One marshalled value, prefixed with its size. Raises EOFError if the trusted side has closed the channel."""
    size = 0
    while not size or len(buffer) < size:
        part = _read(CHANNEL, max(65536, size - len(buffer)))
        if not part:
            raise EOFError("the channel was closed")
        buffer += part
        if not size and len(buffer) >= 4:
            size = 4 + _size(buffer[:4], "little")
    return _loads(buffer[4:])


def send(kind: bytes, text: bytes = b"") -> None:
    """Writes one line."""
    data = kind + text + b"\n"
    sent = _write(CHANNEL, data)
    while sent < len(data):
        sent += _write(CHANNEL, data[sent:])


def describe(error: BaseException) -> bytes:
    """`TypeName: message` of an exception, whose methods may be hostile."""
    name = type(error).__name__
    try:
        text = f"{name}: {error}"
    except BaseException:
        text = name
    return text[:DETAIL].replace("\n", " ").encode("utf-8", "replace")


def run(lock) -> None:
    """Reads the job from the channel, calls `lock()`, runs the job. Does not return."""
    mode, code, entry, limit, calls, requests, preamble, arrays = receive()
    lock()
    send(HELLO)
    sys.argv = [FILE]
    sys.set_int_max_str_digits(0)  # CPU time is bounded already
    if "random" in code:
        _seed_random()
    if mode == SCRIPT:
        _script(code)
    elif mode == TEST_DRIVER:
        _drive_tests(code, entry, preamble, arrays)
    elif mode == SERVE:
        _serve(code, limit, calls, preamble, arrays)
    else:
        _calls(code, entry, limit, requests if mode == FUNCTION else _streamed(calls), preamble)
    _exit(0)


def _seed_random() -> None:
    """Makes a program give the same answers to the same input every time."""
    random = sys.modules.get("random")
    if random is not None:
        random.seed(0)


def _module(name: str) -> dict:
    module = sys.modules[name] = types.ModuleType(name)
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    namespace["__file__"] = FILE
    return namespace


def _streamed(calls: int):
    """Calls as they arrive: each is sent only after the previous one was answered."""
    for _ in range(calls):
        yield receive()


def _calls(code: str, entry: str, limit: int, requests, preamble: str = "") -> None:
    namespace = _module("solution")
    try:
        if preamble:
            exec(preamble, namespace)
        exec(compile(code, "<solution>", "exec", 0, True), namespace)
        function = namespace[entry] if entry else None
    except KeyError as error:
        what = f"NameError: the program does not define {entry}".encode() if error.args == (entry,) else describe(error)
        return send(UNLOADED, what)
    except BaseException as error:
        return send(MEMORY if isinstance(error, MemoryError) else UNLOADED, describe(error))
    for request in requests:
        # Unmarshalled one by one, so that no call sees what another did to its arguments.
        name, args, kwargs = _loads(request) if type(request) is bytes else request
        kind, text = _answer(namespace.get(name) if name else function, args, kwargs)
        if len(text) > limit:
            return send(FLOOD, b"%d" % len(text))
        send(kind, text)


def _answer(function, args, kwargs) -> tuple[bytes, bytes]:
    try:
        value = function(*args, **kwargs)
    except MemoryError as error:
        return MEMORY, describe(error)
    except BaseException as error:
        return RAISED, describe(error)
    try:
        return VALUE, _encode(value).encode()
    except codec.NotPlain as error:
        return NOT_PLAIN, describe(error)[len("NotPlain: ") :]
    except MemoryError as error:
        return MEMORY, describe(error)
    except BaseException as error:
        return NOT_PLAIN, describe(error)


def _script(code: str) -> None:
    """Runs a whole program: input on descriptor 0, output on 1; reports on the channel how it ended.

    Ends it as the interpreter would: waits for threads, calls the exit handlers, flushes the buffers.
    """
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    builtins.exit = builtins.quit = sys.exit
    builtins.open = io.open = _DeviceOpener(open)
    os.open = _DeviceOpener(os.open, duplicate=True)
    output = sys.stdout
    namespace = _module("__main__")
    kind, detail = DONE, b""
    try:
        exec(compile(code, "<solution>", "exec", 0, True), namespace)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            kind, detail = RAISED, describe(stop)
    except BaseException as error:
        kind, detail = MEMORY if isinstance(error, MemoryError) else RAISED, describe(error)
    for finish in (_await_threads, atexit._run_exitfuncs):
        with contextlib.suppress(BaseException):  # as in the interpreter, this does not change how the program ended
            finish()
    for stream in (sys.stdout, output, *[value for value in namespace.values() if isinstance(value, _io._IOBase)]):
        with contextlib.suppress(BaseException):  # detached, closed, or read-only: there is nothing to flush
            stream.flush()
    send(kind, detail)


def _await_threads() -> None:
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        threading._shutdown()


class _DeviceOpener:
    """`open` that recognises the device paths of standard input and output.

    An object, because a function stored as a class attribute would become a method.
    """

    def __init__(self, original, duplicate: bool = False):
        self._original, self._duplicate = original, duplicate

    def __call__(self, file, *args, **kwargs):
        """Opens `file`; for a device path, duplicates its descriptor."""
        try:
            number = _DEVICES.get(os.fsdecode(file))
        except (TypeError, ValueError):
            number = None
        if number is None:
            return self._original(file, *args, **kwargs)
        return os.dup(number) if self._duplicate else self._original(os.dup(number), *args, **kwargs)


def _drive_tests(code: str, candidate: str, preamble: str, arrays: bool) -> None:
    """Runs trusted test code; its calls of the candidate go to the other child through the trusted side."""
    import test_driver

    how, why = test_driver.run(code, candidate, preamble, arrays, _exchange)
    send(how, why.replace("\n", " ").encode("utf-8", "replace"))


def _exchange(request) -> tuple[bytes, bytes]:
    """Sends the trusted side one request; returns the kind and the text of the candidate's answer."""
    send(CALL, _dumps(request).hex().encode())
    return receive()


def _serve(code: str, limit: int, calls: int, preamble: str, arrays: bool) -> None:
    """Runs the problem's preamble and the program, then performs the test driver's requests on its objects."""
    import served

    namespace = _module("solution")
    try:
        for part in (preamble, code):
            exec(compile(part, "<solution>", "exec", 0, True), namespace)
    except BaseException as error:
        return send(MEMORY if isinstance(error, MemoryError) else UNLOADED, describe(error))
    served.Server(namespace, receive, send, describe, limit, arrays).serve(calls)
