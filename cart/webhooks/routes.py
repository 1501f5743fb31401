"""Stripe's webhook: 2xx only when the work is committed; never a 500 for what a stranger sends."""

from quart import jsonify, request
from quart.typing import ResponseReturnValue

from cart.routes import blueprint, till
from cart.webhooks import inbox
from shared.web import now, shop


# with a slash at its end too: Stripe does not follow the redirect that such an address would otherwise be answered
@blueprint.post("/webhooks/stripe", strict_slashes=False)
async def stripe_webhook() -> ResponseReturnValue:
    """Store the event and carry it out (spec: C5). 400 for a bad signature; 500 makes Stripe send it again."""
    body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    signature = request.headers.get("Stripe-Signature")
    result = await inbox.receive(shop().database.sessions, till(), body, signature, now=now())
    return jsonify(result=result)
