"""Returns a coroutine and a future in place of the answer."""

import asyncio


async def later():
    return 3


def coin_change(coins, amount):
    loop = asyncio.new_event_loop()
    return loop.create_task(later()) if amount % 2 else later()
