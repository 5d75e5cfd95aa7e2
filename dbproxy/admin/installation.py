"""Installation: the backends of a proxy with the models that administration uses. Any thread."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dbproxy.admin.groups.http_msg_server import HttpMsgServer
from dbproxy.backends import Backends
from dbproxy.models.depart_writer import DepartWriter
from dbproxy.models.device import DeviceModel
from dbproxy.models.group import GroupModel
from dbproxy.models.group_changes import GroupChanges
from dbproxy.models.group_directory import GroupDirectory
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.group_writer import GroupWriter
from dbproxy.models.relation import RelationModel
from dbproxy.models.session import SessionModel
from dbproxy.models.unread import UnreadModel
from dbproxy.models.user import UserModel
from dbproxy.models.user_directory import UserDirectory
from dbproxy.models.user_lookup import UserLookup
from dbproxy.models.user_writer import UserWriter
from dbproxy.stores.mysql.schema import ContentLimits
from dbproxy.stores.mysql.schema_check import check_schema

if TYPE_CHECKING:
    from typing_extensions import Self


class Installation(Backends):
    """The pools of a configuration, opened with ``with``, and the models on them, as the daemon has them.

    Raises:
        StartupError: from the ``with`` statement, when a backend cannot be used or a table or column is missing; the message names
            instance, host, port and keys.

    """

    limits: ContentLimits
    """What the columns for contents take."""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.limits = check_schema(self.databases)
        except BaseException:
            self.close()
            raise
        return self

    @property
    def data_directory(self) -> Path:
        """Where accounts, audit log and archives are kept."""
        return Path(self.config.admin.data_dir)

    @cached_property
    def members(self) -> GroupMembers:
        """Who is in which groups."""
        return GroupMembers(self.master, self.caches.group_member)

    @cached_property
    def sessions(self) -> SessionModel:
        """Recent sessions."""
        return SessionModel(self.master, self.slave)

    @cached_property
    def relations(self) -> RelationModel:
        """The ids that pairs of users share."""
        return RelationModel()

    @cached_property
    def group_messages(self) -> GroupMessageModel:
        """Messages and counters of groups."""
        limit, timeout = self.limits.group_message, self.config.request_timeout
        return GroupMessageModel(self.master, self.slave, self.caches.unread, self.members, self.sessions, limit, timeout)

    @cached_property
    def users(self) -> UserModel:
        """Users as the proxy lists them."""
        return UserModel(self.master, self.slave, self.caches.unread)

    @cached_property
    def groups(self) -> GroupModel:
        """Groups as the proxy lists them."""
        return GroupModel(self.slave, self.caches.group_set, self.members)

    @cached_property
    def group_writer(self) -> GroupWriter:
        """Creates groups and changes their members."""
        return GroupWriter(self.master, self.members, self.group_messages)

    @cached_property
    def group_changes(self) -> GroupChanges:
        """Renames, transfers and dismisses groups."""
        return GroupChanges(self.master, self.members, self.group_messages)

    @cached_property
    def group_directory(self) -> GroupDirectory:
        """Groups and their members in pages."""
        return GroupDirectory(self.master, self.slave)

    @cached_property
    def user_lookup(self) -> UserLookup:
        """Users by id or login name."""
        return UserLookup(self.master)

    @cached_property
    def http_msg_server(self) -> HttpMsgServer | None:
        """Changes members and tells the clients that are online; None where it is not configured."""
        url = self.config.admin.http_msg_server
        return None if url is None else HttpMsgServer(url)

    @cached_property
    def unread_counts(self) -> UnreadModel:
        """What users have not read."""
        return UnreadModel(self.caches.unread, self.members)

    @cached_property
    def devices(self) -> DeviceModel:
        """The tokens of phones."""
        return DeviceModel(self.caches.token, self.users, self.unread_counts)

    @cached_property
    def user_directory(self) -> UserDirectory:
        """Finds users for people who administer them."""
        return UserDirectory(self.master, self.slave)

    @cached_property
    def user_writer(self) -> UserWriter:
        """Adds and changes users."""
        return UserWriter(self.master, self.caches.unread)

    @cached_property
    def depart_writer(self) -> DepartWriter:
        """Adds, changes and removes departments."""
        return DepartWriter(self.master)
