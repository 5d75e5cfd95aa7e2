"""Pages of devices: the phones that get pushes. The thread of the request."""

from __future__ import annotations

from flask import render_template, request
from flask_babel import gettext, lazy_gettext

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.devices import Devices
from dbproxy.admin.errors import NotFoundError
from dbproxy.admin.web.pages.inputs import ID, Answer, position
from dbproxy.admin.web.views import Pages, administration, go_to, say

pages = Pages("devices")

CLIENT_TYPES = {"ios": "iOS", "android": "Android", "other": lazy_gettext("other")}


@pages.page("/devices", Permission.VIEW)
def index() -> Answer:
    """List the tokens of phones. They are read from Redis step by step, so a page may be empty although more follow."""
    after = position()
    page = Devices(administration()).find(after)
    return render_template("devices/index.html", page=page, after=after, type_texts=CLIENT_TYPES)


@pages.page(f"/devices/{ID % 'user_id'}/forget", Permission.CHANGE, methods=("GET", "POST"))
def forget(user_id: int) -> Answer:
    """Forget the phone of a user, after saying what that means."""
    devices = Devices(administration())
    if request.method == "POST":
        devices.forget(user_id)
        say(gettext("The device is forgotten: it gets no pushes until the user logs in with it again."))
        return go_to("devices.index")
    device = devices.of_user(user_id)
    if device is None:
        raise NotFoundError(f"user {user_id} has no phone that gets pushes")
    return render_template("devices/forget.html", name=device.name or str(user_id))
