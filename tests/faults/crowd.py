"""All people at once, in a thread with a loop of its own: the main thread starts and kills processes meanwhile."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import uvloop

from tests.faults.organizer import announce_and_cancel, decide_some, refund_some
from tests.faults.people import Diary, Person
from tests.faults.town import Town

LEAVE_SECONDS = 300  # one page that does not answer is tried for more than half of that, see people.py


@contextmanager
def crowd(
    ports: dict[str, int], town: Town, owner: str, cookies: Sequence[str], *, seed: int, pace: float
) -> Iterator[Diary]:
    """The owner, three times, and a person for each cookie who comes about every `pace` seconds; then all go home."""
    diary, closing, loop = Diary(), asyncio.Event(), uvloop.new_event_loop()
    organizer, clerk, operator, *people = (
        Person(number, ports, cookie, town.sales, random.Random(seed + number), diary, closing)
        for number, cookie in enumerate([owner, owner, owner, *cookies])
    )

    async def come_and_go() -> None:
        async with asyncio.TaskGroup() as everybody:
            everybody.create_task(announce_and_cancel(organizer, town, pace))
            everybody.create_task(refund_some(clerk, pace))
            everybody.create_task(decide_some(operator, pace / 2))
            for person in people:
                everybody.create_task(person.live(pace))
        for person in (organizer, clerk, operator, *people):
            await person.leave()

    with ThreadPoolExecutor(1) as thread:
        visit = thread.submit(loop.run_until_complete, come_and_go())
        try:
            yield diary
        finally:
            loop.call_soon_threadsafe(closing.set)
            visit.result(LEAVE_SECONDS)
            loop.close()
