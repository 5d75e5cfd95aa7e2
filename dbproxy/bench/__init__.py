"""Measuring a proxy: how many requests per second it takes, what limits it, and how the cost of a request grows with the data.

``scripts/bench`` (``python -m dbproxy.bench``) is the command. It starts a private MariaDB, Redis and proxy, or measures an installation
that runs already (``--config``), whose data it leaves alone: what it needs there it makes under names of its own and removes again.
"""
