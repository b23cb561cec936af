"""Claims tags that the reader may trip over."""

import os

LIES = (b'{"i":"zz"}', b'{"f":"nan"}', b'{"t":5}', b'{"d":[[1]]}', b'{"b":"0"}', b'{"i":3}', b'{"q":1,"r":2}', b"NaN")


def coin_change(coins, amount):
    os.write(3, b"".join(b"=" + lie + b"\n" for lie in LIES))
    os._exit(0)
