"""Login, device tokens, push shield."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dbproxy.handlers.buddy import fill_user_info
from dbproxy.handlers.text import echo_text
from dbproxy.models.device import DeviceModel
from dbproxy.models.login_attempts import LoginAttempts
from dbproxy.models.user import UserModel
from dbproxy.wire import commands
from dbproxy.wire.pb import login_pb2, server_pb2
from dbproxy.work.handler_map import Handler, LazyAnswer

PUSH_TYPE = 1
"""The only value of UserTokenInfo.push_type that the push server knows."""

OK, WRONG, FAILED, LOCKED = 0, 1, 2, 6
"""result_code of a login."""

RESULT_STRINGS = {OK: "成功", WRONG: "用户名/密码错误", FAILED: "服务端内部错误", LOCKED: "用户名/密码错误次数太多"}
"""What the clients show; the wording is the original's."""


class LoginHandlers:
    """Commands 0x0703, 0x0108, 0x010c, 0x010e and 0x0705."""

    def __init__(self, users: UserModel, devices: DeviceModel, attempts: LoginAttempts) -> None:
        self._users = users
        self._devices = devices
        self._attempts = attempts

    def handlers(self) -> list[Handler]:
        """The handlers of this file."""
        return [
            Handler(
                commands.VALIDATE,
                self.validate,
                refuse=_login_failed,
                unreadable=_unreadable_login,
                retry_individually=True,
                copies_attach_data=False,
            ),
            Handler(commands.DEVICE_TOKEN, self.register_device, unbatched=True),
            Handler(commands.GET_DEVICE_TOKENS, self.device_tokens, retry_individually=True),
            Handler(commands.PUSH_SHIELD, self.set_push_shield, refuse=_push_shield_failed, unbatched=True),
            Handler(commands.QUERY_PUSH_SHIELD, self.query_push_shield, retry_individually=True),
        ]

    def validate(self, requests: Sequence[server_pb2.IMValidateReq]) -> list[server_pb2.IMValidateRsp]:
        """Log users in."""
        allowed = [request for request in requests if not self._attempts.is_locked(request.user_name)]
        users = iter(self._users.authenticate([(request.user_name, request.password) for request in allowed]) if allowed else ())
        open_names = {request.user_name for request in allowed}
        replies = []
        for request in requests:
            name = request.user_name
            if name not in open_names:
                replies.append(_login_reply(request, LOCKED))
                continue
            user = next(users)
            if self._attempts.is_locked(name):  # by the failures before it in this run
                reply = _login_reply(request, LOCKED)
            elif user is None:
                self._attempts.failed(name)
                reply = _login_reply(request, WRONG)
            else:
                self._attempts.succeeded(name)
                reply = _login_reply(request, OK)
                fill_user_info(reply.user_info, user)
                reply.user_info.status = 0
            replies.append(reply)
        return replies

    def register_device(self, requests: Sequence[login_pb2.IMDeviceTokenReq]) -> list[login_pb2.IMDeviceTokenRsp]:
        """Note the tokens of phones."""
        replies = []
        for request in requests:
            token: str | bytes = request.device_token
            self._devices.register(request.user_id, token if isinstance(token, bytes) else token.encode(), request.client_type)
            replies.append(login_pb2.IMDeviceTokenRsp(user_id=request.user_id))
        return replies

    def device_tokens(self, requests: Sequence[server_pb2.IMGetDeviceTokenReq]) -> list[LazyAnswer]:
        """Tell where users can be pushed to; the users of all requests are looked up together."""
        tokens = self._devices.tokens(user_id for request in requests for user_id in request.user_id)

        def reply_to(request: server_pb2.IMGetDeviceTokenReq) -> server_pb2.IMGetDeviceTokenRsp:
            reply = server_pb2.IMGetDeviceTokenRsp()
            for user_id in sorted({user_id for user_id in request.user_id if user_id in tokens}, key=str):
                token = tokens[user_id]
                info = reply.user_token_info.add()
                info.user_id = user_id
                info.user_type = token.client_type  # type: ignore[assignment]
                echo_text(info, "token", token.token)
                info.push_count = token.push_count
                info.push_type = PUSH_TYPE
            return reply

        return [partial(reply_to, request) for request in requests]

    def set_push_shield(self, requests: Sequence[login_pb2.IMPushShieldReq]) -> list[login_pb2.IMPushShieldRsp]:
        """Set push shields."""
        replies = []
        for request in requests:
            if self._users.set_push_shield(request.user_id, request.shield_status):
                replies.append(login_pb2.IMPushShieldRsp(user_id=request.user_id, result_code=0, shield_status=request.shield_status))
            else:
                replies.append(_push_shield_failed(request))
        return replies

    def query_push_shield(self, requests: Sequence[login_pb2.IMQueryPushShieldReq]) -> list[login_pb2.IMQueryPushShieldRsp]:
        """Tell push shields."""
        shields = self._users.push_shields(request.user_id for request in requests)
        replies = []
        for request in requests:
            reply = login_pb2.IMQueryPushShieldRsp(user_id=request.user_id, result_code=0 if request.user_id in shields else 1)
            if request.user_id in shields:
                reply.shield_status = shields[request.user_id]
            replies.append(reply)
        return replies


def _login_reply(request: server_pb2.IMValidateReq, result_code: int) -> server_pb2.IMValidateRsp:
    reply = server_pb2.IMValidateRsp(result_code=result_code, result_string=RESULT_STRINGS[result_code], attach_data=request.attach_data)
    echo_text(reply, "user_name", request.user_name)
    return reply


def _login_failed(request: server_pb2.IMValidateReq) -> server_pb2.IMValidateRsp:
    return _login_reply(request, FAILED)


def _unreadable_login() -> server_pb2.IMValidateRsp:
    return server_pb2.IMValidateRsp(user_name="", result_code=FAILED, result_string=RESULT_STRINGS[FAILED])


def _push_shield_failed(request: login_pb2.IMPushShieldReq) -> login_pb2.IMPushShieldRsp:
    return login_pb2.IMPushShieldRsp(user_id=request.user_id, result_code=1)
