"""The benchmark of a proxy: how many requests per second it takes, and what limits it.

``python -m dbproxy.bench`` is the command (in a checkout ``scripts/bench``). It starts a private MariaDB, Redis and proxy, or measures a
running installation (``--config``) without changing its data: what it needs there it creates under names of its own and removes again.
"""
