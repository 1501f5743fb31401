# All systems, no secrets.

# No wheel of ours is installed: the root is on the path instead, from whatever folder a command is typed.
export PYTHONPATH="$TILLGATE_ROOT${PYTHONPATH:+:$PYTHONPATH}"

# A log that is read while the program runs must not wait in a buffer.
export PYTHONUNBUFFERED=1

# Times in logs and tools are UTC; what people see is in the time zone of the organizer's page.
export TZ=UTC
