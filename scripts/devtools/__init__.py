"""Tools that only a checkout uses; the wheel leaves them out. ``scripts/`` has a command for each."""
