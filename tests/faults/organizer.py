"""The organizer: cancels events while people buy them; an act that needs a new button of the office goes here."""

from tests.faults.people import GaveUp, Person
from tests.faults.town import Town


async def organize(person: Person, town: Town, every: float) -> None:
    """Announce a matinee, and cancel it about `every` seconds later, until the shop closes or none is left."""
    while town.coming:
        matinee = town.coming.pop()
        town.sales.append(matinee.sale)
        closing = await person.pause(person.chance.uniform(0.5, 1.5) * every)
        town.sales.remove(matinee.sale)
        if closing:
            return
        person.diary.cancelled += await _cancel(
            person, f"/organizer/hall/entries/{matinee.slug}", matinee.title
        )


async def _cancel(person: Person, entry: str, title: str) -> bool:
    try:
        answer = await person.post(f"{entry}/cancel", {"title": title})
    except GaveUp:
        return False
    assert answer.status == 303, answer.body
    return True
