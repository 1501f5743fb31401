"""Ids that sort by time and cannot be guessed; the tables of transitions."""

from shared.contracts.states import (
    ORDER_TRANSITIONS,
    TICKET_TRANSITIONS,
    OrderState,
    TicketState,
    order_sources_of,
    sources_of,
)
from shared.ids import ALPHABET, new_door_code, new_id, new_order_number, parse_id


def test_ids_are_version_7_and_grow() -> None:
    """RFC 9562; ordered by the millisecond."""
    ids = [new_id() for _ in range(1000)]
    assert {one.version for one in ids} == {7}
    assert {one.variant for one in ids} == {"specified in RFC 4122"}
    stamps = [one.int >> 80 for one in ids]
    assert stamps == sorted(stamps)
    assert len(set(ids)) == 1000


def test_codes_for_people() -> None:
    """No letter that is mistaken for another; a door code holds at least 80 bits."""
    assert not set("01ILOU") & set(ALPHABET)
    assert len(ALPHABET) ** len(new_door_code()) >= 2**80
    number = new_order_number()
    assert (len(number), number[4]) == (9, "-")


def test_ids_from_outside() -> None:
    """What is no id is None, not an error."""
    one = new_id()
    assert parse_id(str(one)) == one
    assert [parse_id(text) for text in ("", "x", "1" * 400)] == [None, None, None]


def test_every_state_has_its_row() -> None:
    """The tables are complete (spec: B7)."""
    assert set(TICKET_TRANSITIONS) == set(TicketState)
    assert set(ORDER_TRANSITIONS) == set(OrderState)


def test_sources() -> None:
    """What SQL guards with (spec: B7, B9)."""
    assert sources_of(TicketState.RESERVED) == (TicketState.PENDING,)
    assert set(sources_of(TicketState.CONFIRMED)) == {TicketState.RESERVED, TicketState.CHECKED_IN}
    assert set(sources_of(TicketState.PENDING)) == {TicketState.RESERVED}
    assert set(order_sources_of(OrderState.PAID)) == {
        OrderState.PENDING,
        OrderState.PROCESSING,
        OrderState.EXPIRED,
    }
