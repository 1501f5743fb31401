"""The organizer: cancels events while people buy them, and refunds tickets while their buyers give them back."""

from tests.faults.people import GaveUp, Person
from tests.faults.town import Town


async def announce_and_cancel(person: Person, town: Town, every: float) -> None:
    """Announce a matinee, and cancel it about `every` seconds later, until the shop closes or none is left."""
    while town.coming:
        matinee = town.coming.pop()
        town.sales.append(matinee.sale)
        closing = await person.pause(person.chance.uniform(0.5, 1.5) * every)
        town.sales.remove(matinee.sale)
        if closing:
            return
        address = f"/organizer/hall/entries/{matinee.slug}/cancel"
        person.diary.cancelled += await _cancel(person, address, matinee.title)


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
