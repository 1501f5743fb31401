"""All tests. Each names the rows of the specification it proves (`spec: B6`)."""
