"""Builds the models and handlers of a proxy: the part of the composition root that knows every topic."""

from __future__ import annotations

from typing import NamedTuple

from dbproxy.config import Config
from dbproxy.handlers.buddy import BuddyHandlers
from dbproxy.handlers.file import FileHandlers
from dbproxy.handlers.group import GroupHandlers
from dbproxy.handlers.login import LoginHandlers
from dbproxy.handlers.message import MessageHandlers
from dbproxy.handlers.session import SessionHandlers
from dbproxy.models.audio import AudioModel
from dbproxy.models.depart import DepartModel
from dbproxy.models.device import DeviceModel
from dbproxy.models.file import FileModel
from dbproxy.models.group import GroupModel
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.group_writer import GroupWriter
from dbproxy.models.login_attempts import LoginAttempts
from dbproxy.models.message import MessageModel
from dbproxy.models.recoveries import Recoveries
from dbproxy.models.relation import RelationModel
from dbproxy.models.session import SessionModel
from dbproxy.models.sound_label import sound_label
from dbproxy.models.summary import Summaries
from dbproxy.models.unread import UnreadModel
from dbproxy.models.user import UserModel
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.file_server import FileServer
from dbproxy.stores.mysql import DBManager
from dbproxy.stores.mysql.schema import ContentLimits
from dbproxy.stores.redis import CacheManager
from dbproxy.work.handler_map import HandlerMap


class Models(NamedTuple):
    """Those models that are needed in more than one place."""

    members: GroupMembers
    sessions: SessionModel
    relations: RelationModel
    messages: MessageModel
    group_messages: GroupMessageModel
    audio: AudioModel


def build_models(
    config: Config,
    databases: DBManager,
    caches: CacheManager,
    file_server: FileServer,
    file_server_calls: BackendCalls,
    limits: ContentLimits,
    recoveries: Recoveries,
) -> Models:
    """Return the models that handlers and others share."""
    master, slave, unread = databases.master, databases.slave, caches.unread
    members = GroupMembers(master, caches.group_member, recoveries)
    sessions = SessionModel(master, slave)
    relations = RelationModel()
    timeout = config.request_timeout
    return Models(
        members,
        sessions,
        relations,
        MessageModel(master, slave, unread, relations, sessions, limits.message, timeout, recoveries),
        GroupMessageModel(master, slave, unread, members, sessions, limits.group_message, timeout, recoveries),
        AudioModel(slave, file_server, config.file_server_timeout, file_server_calls),
    )


def build_handlers(config: Config, databases: DBManager, caches: CacheManager, models: Models) -> HandlerMap:
    """Return the handlers of all commands."""
    master, slave, unread = databases.master, databases.slave, caches.unread
    users = UserModel(master, slave, unread)
    members, messages, group_messages = models.members, models.messages, models.group_messages
    groups = GroupModel(slave, caches.group_set, members)
    group_writer = GroupWriter(master, members, group_messages)
    unread_counts = UnreadModel(unread, members)
    summaries = Summaries(slave, models.relations, sound_label(config.aes_key))
    topics = (
        LoginHandlers(users, DeviceModel(caches.token, users, unread_counts), LoginAttempts()),
        BuddyHandlers(users, DepartModel(slave)),
        SessionHandlers(models.sessions, messages, group_messages, summaries),
        MessageHandlers(messages, group_messages, members, models.relations, models.audio, unread_counts, summaries),
        GroupHandlers(groups, group_writer, members),
        FileHandlers(FileModel(master, slave)),
    )
    return HandlerMap(handler for topic in topics for handler in topic.handlers())
