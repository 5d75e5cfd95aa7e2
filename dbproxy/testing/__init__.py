"""Integration tests of TeamTalk servers against a real proxy with a real MariaDB and a real Redis.

::

    from dbproxy.testing import ProxyProcess, Stack, seed

    with Stack() as stack, ProxyProcess(stack) as proxy, proxy.client() as client:
        seed.user(stack, 1, "alice")
        assert client.login("alice").result_code == 0

:class:`ChatClient` is the other end: it logs in at a msg_server as the users' programs do, so that a whole installation can be tested.

What is started here runs on free private ports and in private directories, and ends with the process that started it. Servers that run
already are used only where their URLs say so (``--dbproxy-mysql``, ``--dbproxy-redis``), and are only connected to. A pytest plugin with
the fixtures ``dbproxy_stack``, ``dbproxy_proxy`` and ``dbproxy_client`` comes with the package. Names are imported when they are first
used, so that the plugin costs a pytest run without these fixtures nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbproxy.errors import StartupError
    from dbproxy.testing import seed as seed
    from dbproxy.testing.chat_client import ChatClient, KickedError, LoginRefusedError
    from dbproxy.testing.client import Client, ConnectionClosedError, Pdu
    from dbproxy.testing.cluster import ClusterStack
    from dbproxy.testing.existing import ExistingStack
    from dbproxy.testing.existing_servers import NotOursError
    from dbproxy.testing.file_server import FileServer
    from dbproxy.testing.galera import GaleraStack
    from dbproxy.testing.group_replication import GroupStack
    from dbproxy.testing.login_server import LoginServerError, MsgServer, find_msg_server
    from dbproxy.testing.pdu_stream import ProtocolError
    from dbproxy.testing.proxy import InProcessProxy, ProxyProcess
    from dbproxy.testing.replica_stack import ReplicaStack
    from dbproxy.testing.sentinel import SentinelStack
    from dbproxy.testing.servers import PrivateMariaDB, PrivateRedis
    from dbproxy.testing.stack import Stack

__all__ = [
    "ChatClient",
    "Client",
    "ClusterStack",
    "ConnectionClosedError",
    "ExistingStack",
    "FileServer",
    "GaleraStack",
    "GroupStack",
    "InProcessProxy",
    "KickedError",
    "LoginRefusedError",
    "LoginServerError",
    "MsgServer",
    "NotOursError",
    "Pdu",
    "PrivateMariaDB",
    "PrivateRedis",
    "ProtocolError",
    "ProxyProcess",
    "ReplicaStack",
    "SentinelStack",
    "Stack",
    "StartupError",
    "find_msg_server",
    "seed",
]

_HOME = {
    "ChatClient": "chat_client",
    "Client": "client",
    "ClusterStack": "cluster",
    "ConnectionClosedError": "client",
    "ExistingStack": "existing",
    "FileServer": "file_server",
    "GaleraStack": "galera",
    "GroupStack": "group_replication",
    "InProcessProxy": "proxy",
    "KickedError": "chat_client",
    "LoginRefusedError": "chat_client",
    "LoginServerError": "login_server",
    "MsgServer": "login_server",
    "NotOursError": "existing_servers",
    "Pdu": "client",
    "PrivateMariaDB": "servers",
    "PrivateRedis": "servers",
    "ProtocolError": "pdu_stream",
    "ProxyProcess": "proxy",
    "ReplicaStack": "replica_stack",
    "SentinelStack": "sentinel",
    "Stack": "stack",
    "find_msg_server": "login_server",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"dbproxy.testing.{_HOME[name]}"), name)
    if name == "seed":
        return importlib.import_module("dbproxy.testing.seed")
    if name == "StartupError":
        return importlib.import_module("dbproxy.errors").StartupError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
