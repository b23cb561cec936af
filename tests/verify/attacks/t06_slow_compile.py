"""Is a program that takes the compiler for ever."""

SOURCE = "x = " + "(" * 90 + "lambda: " * 2000 + "0" + ")" * 90


def coin_change(coins, amount):
    for _ in range(10**6):
        try:
            compile(SOURCE, "s", "exec")
        except (SyntaxError, RecursionError, MemoryError):
            pass
