"""A day in ten minutes: traffic, faults and misbehaving peers at random, and then the question whether every promise was kept.

``scripts/soak`` and :class:`~dbproxy.testing.soak.day.Soak`. Everything random comes from one seed: the same seed brings the same faults
in the same order, though not at the same microsecond.
"""
