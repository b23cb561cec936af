"""Answers with bytes that are no UTF-8, and with lone surrogates."""

import os


def coin_change(coins, amount):
    os.write(3, b"=\xff\xfe\x00\n=\"\\ud800\"\n=\xed\xa0\x80\n")
    os._exit(0)
