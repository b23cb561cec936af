"""SIGTERM ends a job as Ctrl-C does, also one that a shell has put into the background."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time
from pipelines.termination import sigterm_as_interrupt
signal.signal(signal.SIGINT, {before})
try:
    with sigterm_as_interrupt():
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


@pytest.mark.parametrize("before", ["signal.default_int_handler", "signal.SIG_IGN", "signal.SIG_DFL"])
def test_it_interrupts_whatever_ctrl_c_does(before):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(before=before)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == "interrupted True\n"
