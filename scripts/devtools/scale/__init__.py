"""``scripts/scale``: several proxies on one database, large databases, and the arithmetic of large installations."""
