"""The sandbox: runs untrusted programs without trusting their output or giving them access to anything of ours.

Two groups of modules. Inside the zygote and its children, standard library only, importing each other by bare names:
the zygote itself with its lockdown and system call filters, the harness that runs a program, and the test driver with
its link to the candidate. On the trusted side: the worker (one zygote), the child's channel, the watchdog, the event
loop over all of them, and the probe.

Covered: files, network, other processes, memory, CPU and wall time, threads, output, and every known way to earn a
reward without computing the answers. Not covered: bugs in the kernel, side channels through timing or caches, and what
`stat` reveals about which paths exist.
"""
