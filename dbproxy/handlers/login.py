"""Login, device tokens, push shield."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from dbproxy.errors import StoreError, StoreUnavailableError
from dbproxy.handlers.buddy import fill_user_info
from dbproxy.handlers.text import echo_text
from dbproxy.models.device import DeviceModel
from dbproxy.models.login_attempts import LoginAttempts, Outcome, Subject
from dbproxy.models.user import User, UserModel
from dbproxy.wire import commands
from dbproxy.wire.pb import login_pb2, server_pb2
from dbproxy.work.handler_map import Handler, LazyAnswer

logger = logging.getLogger(__name__)

PUSH_TYPE = 1
"""The only value of UserTokenInfo.push_type that the push server knows."""

OK, WRONG, FAILED, LOCKED = 0, 1, 2, 6
"""result_code of a login."""

RESULT_STRINGS = {OK: "成功", WRONG: "用户名/密码错误", FAILED: "服务端内部错误", LOCKED: "用户名/密码错误次数太多"}
"""What the clients show; the wording is the original's."""


class _Checked(NamedTuple):
    """A request that has been looked up: what its attempt counts for, and the reply if the password is right and nothing is locked."""

    subject: Subject
    accepted: server_pb2.IMValidateRsp | None


class LoginHandlers:
    """Commands 0x0703, 0x0108, 0x010c, 0x010e and 0x0705."""

    def __init__(self, users: UserModel, devices: DeviceModel, attempts: LoginAttempts) -> None:
        self._users = users
        self._devices = devices
        self._attempts = attempts

    def handlers(self) -> list[Handler[Any]]:
        """The handlers of this file."""
        return [
            Handler.batch(commands.VALIDATE, self.validate, refuse=_login_failed, unreadable=_unreadable_login, copies_attach_data=False),
            Handler.each(commands.DEVICE_TOKEN, self.register_device),
            Handler.lookup(commands.GET_DEVICE_TOKENS, self.device_tokens),
            Handler.each(commands.PUSH_SHIELD, self.set_push_shield, refuse=_push_shield_failed),
            Handler.lookup(commands.QUERY_PUSH_SHIELD, self.query_push_shield),
        ]

    def validate(self, requests: Sequence[server_pb2.IMValidateReq]) -> list[server_pb2.IMValidateRsp]:
        """Log users in.

        Everything that can fail comes first and may be repeated; the attempts are counted after it, once each. So this handler is no
        pure lookup, which the executor would call again as a whole.
        """
        locked = [self._attempts.is_locked(request.user_name) for request in requests]
        checked = iter(self._check([request for request, is_locked in zip(requests, locked, strict=True) if not is_locked]))
        return [
            _login_reply(request, LOCKED) if is_locked else self._decide(request, next(checked))
            for request, is_locked in zip(requests, locked, strict=True)
        ]

    def _check(self, requests: Sequence[server_pb2.IMValidateReq]) -> list[_Checked | None]:
        """Look up who wants to log in, without counting anything; None for a request that cannot be checked although others can.

        Raises:
            StoreUnavailableError: the database is down; for a single request whatever else went wrong with it, too.

        """
        if not requests:
            return []
        try:
            logins = self._users.authenticate([(request.user_name, request.password) for request in requests])
            return [
                _Checked(
                    request.user_name if login.user is None else login.user.user_id,
                    _accepted(request, login.user) if login.user is not None and login.right else None,
                )
                for request, login in zip(requests, logins, strict=True)
            ]
        except StoreUnavailableError:
            raise
        except Exception:
            if len(requests) == 1:
                raise
        return [self._check_alone(request) for request in requests]

    def _check_alone(self, request: server_pb2.IMValidateReq) -> _Checked | None:
        try:
            return self._check((request,))[0]
        except StoreUnavailableError:
            raise
        except Exception as error:  # logged, and refused by the caller; it must not spoil the logins beside it
            if isinstance(error, StoreError):
                logger.error("a login could not be checked: %s", error)
            else:
                logger.error("a login could not be checked", exc_info=error)
            return None

    def _decide(self, request: server_pb2.IMValidateReq, checked: _Checked | None) -> server_pb2.IMValidateRsp:
        """Count an attempt and answer it."""
        if checked is None:
            return _login_failed(request)
        outcome = self._attempts.attempt(checked.subject, right=checked.accepted is not None)
        if checked.accepted is not None and outcome is Outcome.RIGHT:
            return checked.accepted
        return _login_reply(request, LOCKED if outcome is Outcome.LOCKED else WRONG)

    def register_device(self, request: login_pb2.IMDeviceTokenReq) -> login_pb2.IMDeviceTokenRsp:
        """Register the token of a phone."""
        token: str | bytes = request.device_token
        self._devices.register(request.user_id, token if isinstance(token, bytes) else token.encode(), request.client_type)
        return login_pb2.IMDeviceTokenRsp(user_id=request.user_id)

    def device_tokens(self, requests: Sequence[server_pb2.IMGetDeviceTokenReq]) -> list[LazyAnswer]:
        """Return the device tokens of users; those of all requests are looked up together."""
        tokens = self._devices.tokens(user_id for request in requests for user_id in request.user_id)

        def reply_to(request: server_pb2.IMGetDeviceTokenReq) -> server_pb2.IMGetDeviceTokenRsp:
            reply = server_pb2.IMGetDeviceTokenRsp()
            for user_id in sorted(tokens.keys() & request.user_id, key=str):
                token = tokens[user_id]
                info = reply.user_token_info.add()
                info.user_id = user_id
                info.user_type = token.client_type  # type: ignore[assignment]
                echo_text(info, "token", token.token)
                info.push_count = token.push_count
                info.push_type = PUSH_TYPE
            return reply

        return [partial(reply_to, request) for request in requests]

    def set_push_shield(self, request: login_pb2.IMPushShieldReq) -> login_pb2.IMPushShieldRsp:
        """Set a push shield."""
        if not self._users.set_push_shield(request.user_id, request.shield_status):
            return _push_shield_failed(request)
        return login_pb2.IMPushShieldRsp(user_id=request.user_id, result_code=0, shield_status=request.shield_status)

    def query_push_shield(self, requests: Sequence[login_pb2.IMQueryPushShieldReq]) -> list[login_pb2.IMQueryPushShieldRsp]:
        """Return push shields."""
        shields = self._users.push_shields(request.user_id for request in requests)
        replies = []
        for request in requests:
            reply = login_pb2.IMQueryPushShieldRsp(user_id=request.user_id, result_code=0 if request.user_id in shields else 1)
            if request.user_id in shields:
                reply.shield_status = shields[request.user_id]
            replies.append(reply)
        return replies


def _accepted(request: server_pb2.IMValidateReq, user: User) -> server_pb2.IMValidateRsp:
    reply = _login_reply(request, OK)
    fill_user_info(reply.user_info, user)
    reply.user_info.status = 0
    return reply


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
