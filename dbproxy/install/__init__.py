"""The command dbproxy-init: from an installed package to a directory with which a proxy can be started.

The files that it writes are package data in ``data/``; in a checkout those that exist in ``conf/`` are links to it.
"""
