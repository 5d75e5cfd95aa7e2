"""What a statement is called where its text must not be shown: verb and table, never a value. Pure functions, any thread."""

from __future__ import annotations

import re

from dbproxy.stores.backend_calls import Wait

_VERB = re.compile(r"[\s(]*([a-zA-Z]+)")
_TABLE = re.compile(r"\b(?:from|into|update|join)\s+`?((?:IM|information_schema\.|performance_schema\.)\w+)", re.IGNORECASE)
"""Names of our tables and the server's, so that nothing that a user has written can look like one."""
_LOCK = re.compile(r"\b(get_lock|release_lock)\(")

_LOOKED_AT = 4096
"""Characters of a statement in which its name is looked for."""


def statement_name(call: object) -> str:
    """Return a name like "select IMUser", for a script like "insert IMGroupMessage_3 (script of 4)".

    ``call``: a statement, (the statements of a script, the index of the one that is executed), or a ``Wait``.
    """
    if isinstance(call, Wait):
        return str(call)
    if isinstance(call, tuple):
        statements, index = call
        name = _name_of(statements[min(index, len(statements) - 1)])
        return name if len(statements) == 1 else f"{name} (script of {len(statements)})"
    return _name_of(str(call))


def _name_of(statement: str) -> str:
    start = statement[:_LOOKED_AT]
    verb = _VERB.match(start)
    if verb is None:
        return "statement"
    found = _TABLE.search(start) or _LOCK.search(start)
    return verb[1].lower() if found is None else f"{verb[1].lower()} {found[1]}"
