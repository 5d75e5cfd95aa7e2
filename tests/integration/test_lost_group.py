"""A group whose commit was lost: what stands under its id later need not be that group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.errors import OutcomeUnknownError
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.group_writer import GroupWriter
from dbproxy.testing import Stack


class NoCounters:
    """There are none left of a former group."""

    def reset_counters(self, group_id: int, user_ids: object) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("became_of_it", "is_created"),
    [
        ("do 0", True),
        ("update IMGroup set name='a longer name of the', created=created where creator=1", True),  # a server that cuts names off
        ("update IMGroup set creator=2", False),
        ("update IMGroup set created=created-1", False),
        ("update IMGroup set name='another'", False),
        ("delete from IMGroup", False),
    ],
    ids=["it is there", "cut off", "of another user", "of another time", "with another name", "gone"],
)
def test_a_group_of_somebody_else_that_has_got_the_same_id_is_not_taken_for_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, became_of_it: str, is_created: bool
) -> None:
    with Backends(load_config(stack.write_config())) as backends:
        write: Callable[[Any], object] = backends.master.write

        def lose(work: Callable[[Any], object]) -> object:
            write(work)
            stack.rows(became_of_it)
            raise OutcomeUnknownError("lost during a commit")

        monkeypatch.setattr(backends.master, "write", lose)
        members = GroupMembers(backends.master, backends.caches.group_member)
        writer = GroupWriter(backends.master, members, cast("GroupMessageModel", NoCounters()))
        if is_created:
            assert writer.create(1, "a longer name of the group", "", 1, [1, 2])
        else:
            with pytest.raises(OutcomeUnknownError):
                writer.create(1, "a longer name of the group", "", 1, [1, 2])
