"""Who may call what: every endpoint needs a signed-in user, except those listed here, and nowhere else (spec: D10)."""

PUBLIC_ENDPOINTS = frozenset(
    {
        "static",
        "accent",  # a colour as a stylesheet
        # public shop pages
        "events.home",
        "events.page",
        "events.entry",
        "events.robots",
        "events.sitemap",
        "events.buy",  # a visitor's choice is kept and leads to the sign-in
        # sign-in
        "identity.sign_in",
        "identity.send",
        "identity.code",
        "identity.waiting",  # says what became of the mail that this browser asked for
        "identity.link",
        "identity.use_link",
        "identity.sign_out",  # pressed twice, or after the cookie ran out: still the home page
        # health
        "health.live",
        "health.ready",
        # Stripe, by its signature
        "cart.stripe_webhook",
        # settles for anyone who brings a session id, shows details to the owner only
        "cart.complete",
        # a ticket's own page, by its address that cannot be guessed
        "events.ticket",
        "events.ticket_calendar",
    }
)

ORIGIN_EXEMPT_ENDPOINTS = frozenset({"cart.stripe_webhook"})
"""Unsafe requests that come from a server, not a browser; they prove themselves otherwise."""

KEEPABLE_ENDPOINTS = frozenset({"events.home", "events.page", "events.entry"})
"""Pages without secrets: a browser may keep them for its back button, and asks before it shows them anew."""
