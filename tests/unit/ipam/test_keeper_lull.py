"""A row of ADDs is followed by one look at the pool's targets; an ADD that waits is not made to wait for the row's end."""

from __future__ import annotations

import asyncio

from vpccni_ipam.keeper import lull


async def row(changed: asyncio.Event, times: int) -> int:
    """Changes one after another; how many there were when the lull was found."""
    done = 0

    async def change() -> None:
        nonlocal done
        while done < times:
            done += 1
            changed.set()
            await asyncio.sleep(0)

    changing = asyncio.create_task(change())
    await asyncio.wait_for(lull(changed, asyncio.Event()), 20)
    changing.cancel()
    return done


def test_a_row_ends_before_the_look() -> None:
    assert asyncio.run(row(asyncio.Event(), 5)) == 5


def test_a_row_without_end_is_looked_at_all_the_same() -> None:
    assert 0 < asyncio.run(row(asyncio.Event(), 10**9)) < 10**9


def test_what_is_urgent_ends_the_wait() -> None:
    async def body() -> None:
        changed, urgent = asyncio.Event(), asyncio.Event()
        changing = asyncio.create_task(row(changed, 10**9))
        waiting = asyncio.create_task(lull(changed, urgent))
        await asyncio.sleep(0)
        urgent.set()
        changed.set()
        await asyncio.wait_for(waiting, 20)
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)

    asyncio.run(body())
