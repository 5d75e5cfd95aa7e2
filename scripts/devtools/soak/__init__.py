"""The soak test: load, random faults and abusive clients for some minutes, and then a check of everything that was acknowledged.

``scripts/soak`` and :class:`~devtools.soak.runner.Soak`. All random choices come from one seed: the same seed injects the same faults in
the same order, though not at the same microsecond.
"""
