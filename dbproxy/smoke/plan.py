"""What a smoke test is to try, where, and as whom. No I/O; any thread."""

from __future__ import annotations

from dataclasses import dataclass

from dbproxy.testing.stack import AES_KEY
from dbproxy.wire.pb import base_define_pb2 as base

_CLIENT_TYPES = {
    "windows": base.CLIENT_TYPE_WINDOWS,
    "mac": base.CLIENT_TYPE_MAC,
    "ios": base.CLIENT_TYPE_IOS,
    "android": base.CLIENT_TYPE_ANDROID,
}
CLIENT_TYPES = tuple(_CLIENT_TYPES)
PC_TYPES = ("windows", "mac")


@dataclass(frozen=True)
class Account:
    """A user to log in as."""

    name: str
    password: str


@dataclass(frozen=True)
class Plan:
    """What to try, and where."""

    login_url: str
    """As ``dbproxy.testing.login_server.find_msg_server`` takes it."""
    user: Account
    peer: Account | None = None
    """The second user, who gets and sends messages."""
    group: bool = False
    """Whether to create a temporary group."""
    msg_server: tuple[str, int] | None = None
    """Used in place of the address that login_server names."""
    client_type: str = "windows"
    """One of ``CLIENT_TYPES``."""
    aes_key: str = AES_KEY
    """32 characters, with which texts are encrypted."""
    timeout: float = 10.0
    """Seconds for each step."""

    @property
    def client_type_id(self) -> base.ClientType:
        """The number of the client type in the protocol."""
        return _CLIENT_TYPES[self.client_type]

    def writes(self) -> list[str]:
        """Return what will be written into the installation and stay there, in words."""
        written = []
        if self.peer is not None:
            written.append(
                f"two messages, one from {self.user.name} to {self.peer.name} and one back, and the sessions that belong to them"
            )
        if self.group:
            written.append("a temporary group with one message, whose members are removed again")
        users = self.user.name if self.peer is None else f"{self.user.name} and {self.peer.name}"
        return [*written, f"an empty token for push notifications of {users}, because logging out does that"]
