"""The sandbox: programs that nobody has read, run so that nothing of theirs is believed and nothing of ours
is theirs.

`zygote.py`, `lockdown.py`, `filters.py`, `syscalls.py`, `harness.py`, `test_driver.py`, `codec.py` and `prewarm.py`
run inside the zygote and use the standard library alone; `worker.py`, `protocol.py`, `executor.py` and `probe.py` are
the trusted side.

Covered: files, network, other processes, memory, CPU and wall time, threads, output, and every way known to
us of being paid without computing the answers. Not covered: holes in the kernel itself, side channels by
timing or caches, and what `stat` tells about which paths exist.
"""
