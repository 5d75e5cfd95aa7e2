"""Rows that tests of the stacks with several writers store at one node and look for at another one."""

from __future__ import annotations

import contextlib

from dbproxy.testing import GaleraStack, GroupStack

INSERT = "INSERT INTO IMRelationShip (smallId, bigId, status, created, updated) VALUES (%s, %s, 0, 0, 0)"


def store(stack: GaleraStack | GroupStack, node: int, pair: tuple[int, int]) -> None:
    """Store a relation through this node."""
    with contextlib.closing(stack.nodes[node].connect()) as connection, connection.cursor() as cursor:
        cursor.execute(INSERT, pair)


def pairs(stack: GaleraStack | GroupStack, node: int) -> list[tuple[int, int]]:
    """Return the pairs of users that have a relation at this node, once all nodes are equal."""
    stack.wait_until_equal()
    with contextlib.closing(stack.nodes[node].connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT smallId, bigId FROM IMRelationShip ORDER BY smallId")
        return [(row["smallId"], row["bigId"]) for row in cursor.fetchall()]
