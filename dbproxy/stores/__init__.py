"""Pools and drivers: MySQL, Redis, the file server."""
