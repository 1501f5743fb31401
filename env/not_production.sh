# Everything that is not production. Nothing in here is a secret.

# Missing values get values for a machine of one's own instead of stopping the start.
export TILLGATE_ENV="${TILLGATE_ENV:-development}"

# Signs cookies and sign-in codes; in production a secret of its own.
export SECRET_KEY="${SECRET_KEY:-development-only-not-secret-0000}"

# The demo's inbox takes mail here.
export SMTP_URL="${SMTP_URL:-smtp://127.0.0.1:8003}"

# The demo's organizer runs the shop too: what they see at /operator is part of what there is to try.
export OPERATORS="${OPERATORS:-organizer@tillgate.example}"

# Who mails come from.
export MAIL_FROM="${MAIL_FROM:-Tillgate <tickets@tillgate.example>}"
