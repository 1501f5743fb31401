"""`make bench`: what a page, a purchase and a rush cost. See docs/benchmark.md."""
