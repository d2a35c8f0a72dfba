"""One adapter per peer: ``prepare(workload)`` gives the namespace in which its statement runs."""
