"""Looks for any folder at all in which a file can be made."""

import os


def coin_change(coins, amount):
    stack, made = ["/"], 0
    while stack and made < 3000:
        folder = stack.pop()
        made += 1
        try:
            fd = os.open(folder + "/crucible-probe", os.O_CREAT | os.O_WRONLY)
            os.close(fd)
            return "PWNED:" + folder
        except OSError:
            pass
        try:
            os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR))
            return "PWNED:tmpfile in " + folder
        except OSError:
            pass
        try:
            stack += [e.path for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)]
        except OSError:
            pass
    return 0
