"""What the operator is told of the API version that webhooks come in."""

import pytest

from cart.operator.checks import judge_version
from shared.contracts.facts import EndpointFacts

WANTED = "2026-10-28.endive"


@pytest.mark.parametrize(
    ("versions", "is_well"),
    [([WANTED], True), ([None], False), ([WANTED, None], False), (["2020-08-27", WANTED], False)],
)
def test_each_endpoint_is_judged(versions: list[str | None], is_well: bool) -> None:
    """Issue 8 section 5: one without a version of its own follows the account's, which is not known to be ours."""
    ours = [EndpointFacts("https://shop.example/webhooks/stripe", True, ("*",), one) for one in versions]
    assert judge_version(ours, WANTED).ok is is_well
