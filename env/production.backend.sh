# What production must set. The values come from the machine's secret store, never from this file; a missing one stops
# the start with a line that names it.

# Real buyers: nothing has a default, cookies are for https only.
export TILLGATE_ENV=production

# Signs cookies and sign-in codes; at least 32 random characters, such as `openssl rand -base64 32` prints; one that can be
# guessed is refused. Changing it signs everybody out.
export SECRET_KEY="${SECRET_KEY:?is not set}"

# https address of the shop: links in mails and the way back from payment start with it.
export PUBLIC_URL="${PUBLIC_URL:?is not set}"

# postgresql://user:password@host/database, PostgreSQL 15 or later.
export DATABASE_URL="${DATABASE_URL:?is not set}"

# Payments; the pair belongs together and half of it is refused.
export STRIPE_SECRET_KEY="${STRIPE_SECRET_KEY:?is not set}"
# One secret for each webhook endpoint, separated by commas; two while one is being changed.
export STRIPE_WEBHOOK_SECRET="${STRIPE_WEBHOOK_SECRET:?is not set}"

# smtp:// or smtps://user:password@host:port; a password goes out only over TLS, so smtp:// with one needs STARTTLS.
export SMTP_URL="${SMTP_URL:?is not set}"

# Who mails come from; must be allowed to by the domain's SPF and DKIM.
export MAIL_FROM="${MAIL_FROM:?is not set}"

# How many proxies of ours stand before the app: exactly so many entries of X-Forwarded-For are believed.
export TRUSTED_PROXIES="${TRUSTED_PROXIES:-0}"

# Who runs this shop: e-mail addresses, separated by commas, that see everything at /operator. Empty: nobody does.
export OPERATORS="${OPERATORS:-}"

# Where this process shows its Prometheus metrics, such as 127.0.0.1:9100; empty: nowhere. Give shop and worker one each,
# and let no proxy lead there.
export METRICS_BIND="${METRICS_BIND:-}"

# INFO has one line for each request.
export LOG_LEVEL="${LOG_LEVEL:-INFO}"
