# Tests: short, because each test makes its own settings.

# Chosen before anything else reads it.
export TILLGATE_ENV=test

# Only what went wrong is worth a line.
export LOG_LEVEL=WARNING
