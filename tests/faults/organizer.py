"""The organizer: moves and cancels events while people buy them, refunds tickets while their buyers give them back.

And the operator, who says whose money it is that came without our marks.
"""

import asyncio
import random
import re
from collections.abc import Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

from tests.faults.people import Diary, GaveUp, Person
from tests.faults.town import Matinee, Town

ZONE = ZoneInfo("Europe/Vienna")
FOREIGN = "/operator/foreign"
WAITING = re.compile(
    rb'action="/operator/foreign/([0-9a-f-]{36})".*?name="number" value="([^"]+)"', re.DOTALL
)
DECISIONS = ("assign", "assign", "send_back", "dismiss")
TOO_OFTEN = 10  # seconds to wait then
AT_MOST = 300  # payments that are decided at the end


async def announce_and_cancel(person: Person, town: Town, every: float) -> None:
    """Announce a matinee, move it, and cancel it about `every` seconds later, until the shop closes or none is left."""
    while town.coming:
        matinee = town.coming.pop()
        town.sales.append(matinee.sale)
        closing = await person.pause(person.chance.uniform(0.2, 0.8) * every)
        if not closing:
            person.diary.moved += await _move(person, matinee)
            closing = await person.pause(person.chance.uniform(0.2, 0.8) * every)
        town.sales.remove(matinee.sale)
        if closing:
            return
        address = f"/organizer/hall/entries/{matinee.slug}/cancel"
        person.diary.cancelled += await _cancel(person, address, matinee.title)


async def _move(person: Person, matinee: Matinee) -> bool:
    starts = matinee.starts_at.astimezone(ZONE) + timedelta(days=1)
    form = {
        "starts_at": f"{starts:%Y-%m-%dT%H:%M}",
        "ends_at": f"{starts + timedelta(hours=2):%Y-%m-%dT%H:%M}",
        "place": "Open air",
    }
    try:
        answer = await person.post(f"/organizer/hall/entries/{matinee.slug}/move", form)
    except GaveUp:
        return False
    assert answer.status == 303, answer.body
    return True


async def _cancel(person: Person, address: str, title: str) -> bool:
    try:
        answer = await person.post(address, {"title": title})
    except GaveUp:
        return False
    assert answer.status == 303, answer.body
    return True


async def refund_some(person: Person, every: float) -> None:
    """Refund tickets of some order that was paid, about every `every` seconds."""
    while not await person.pause(person.chance.uniform(0.5, 1.5) * every):
        if not person.diary.saw_paid:
            continue
        order_id = person.chance.choice(list(person.diary.saw_paid))
        try:
            await person.refund(f"/organizer/hall/orders/{order_id}")
        except GaveUp:
            person.diary.gave_up += 1


async def decide_some(person: Person, every: float) -> None:
    """Look at what was paid without our marks about every `every` seconds, and say of one what it is."""
    while not await person.pause(person.chance.uniform(0.5, 1.5) * every):
        try:
            await _decide_one(person, person.chance.choice(DECISIONS))
        except GaveUp:
            person.diary.gave_up += 1


async def _decide_one(person: Person, *choices: str) -> bool:
    """Say of one payment what it is, trying these decisions until one is taken; False where none waits."""
    waiting = WAITING.findall((await person.get(FOREIGN)).body)
    if not waiting:
        return False
    payment, number = person.chance.choice(waiting)
    for decision in choices:
        form = {"decision": decision, "number": number.decode()}
        answer = await person.post(f"{FOREIGN}/{payment.decode()}", form)
        if answer.status == 303:
            person.diary.decided += 1
            break
        if answer.status == 429:  # so often in a minute, and no more
            await person.pause(TOO_OFTEN)
    return True


def decide_the_rest(ports: Mapping[str, int], cookie: str, diary: Diary, chance: random.Random) -> None:
    """Nothing that was paid without our marks waits any more: what no order may take is not ours."""

    async def decide() -> None:
        person = Person(0, dict(ports), cookie, (), chance, diary, asyncio.Event())
        for _ in range(AT_MOST):
            if not await _decide_one(person, chance.choice(DECISIONS), "dismiss"):
                break
        await person.leave()

    asyncio.run(decide())
