"""A small server that speaks Stripe's HTTP API on loopback, for the demo, the tests and the benchmark.

It moves no money and never imports the SDK: the unmodified SDK reaches it through `base_addresses`.
An object is kept as the JSON that Stripe would send; the version it speaks is `objects.API_VERSION`.
"""
