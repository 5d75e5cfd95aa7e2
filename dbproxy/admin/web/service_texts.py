"""What services say, in the language of the page: ``told``. Errors and notices are English where they are made, for the command line.

The texts of the table are those of the sources of ``dbproxy.admin`` with names for what is filled in; a test compares them. What is not in
it stays English. The thread of the request.
"""

from __future__ import annotations

import re
from functools import cache

from flask_babel import get_locale, gettext


def _(text: str) -> str:
    """Mark a text for ``scripts/generate_translations``."""
    return text


TEXTS = (
    # users
    _("there is no user with the id %(number)s"),
    _("the name %(name)s is taken by the user with the id %(number)s"),
    _("line %(line)s has the same name"),
    _("there is no department with the id %(number)s"),
    _("the department is %(value)s; accepted is the id of a department"),
    _("the sex is %(value)s; accepted are %(female)s (female) and %(male)s (male)"),
    _("the sex is %(text)s; accepted are male, female, 男, 女, 1 (male) and 0 (female)"),
    _("the phone is %(text)s; accepted are digits, blanks and + - ( ) # *"),
    _("the email is %(text)s; accepted is one like name@example.com, or none"),
    _("the %(field)s is empty; it needs 1 to %(most)s characters"),
    _("the %(field)s %(text)s has %(count)s characters; at most %(most)s are accepted"),
    _("the %(field)s %(text)s has %(count)s bytes in UTF-8; at most %(most)s are accepted"),
    _("the %(field)s %(text)s has a character above U+FFFF, which a column with the character set %(charset)s does not take"),
    _("the %(field)s %(text)s begins or ends with a blank, which is not accepted"),
    _("the %(field)s %(text)s has the control character U+%(number)s, which is not accepted"),
    _("the password has %(count)s characters; %(least)s to %(most)s are accepted"),
    _("the password has a control character, which is not accepted"),
    _("no department is given; there are %(count)s (dbproxy-admin departments tree)"),
    _("there is no department yet, and every user needs one; add one first (dbproxy-admin departments add NAME)"),
    _("there is no user with this id or login name: %(names)s"),
    _("several users have this login name or id; say %(id)sID or %(name)sNAME: %(names)s"),
    _("users who may not log in are not accepted: %(names)s"),
    # imports
    _("the file is empty; its first line has the names of the columns"),
    _("the row that begins in line %(line)s cannot be read: %(error)s"),
    _("the file is not in %(charset)s: look at line %(line)s"),
    _("the file is a workbook of a spreadsheet program; save it as CSV there"),
    _("line %(line)s has more than %(most)s characters"),
    _("there is no department %(text)s, or more than one; accepted are paths like A%(separator)sB, and ids"),
    _("the columns %(columns)s are both the %(field)s of a user; leave one of them"),
    _("the status is %(text)s; only users whose status is active are added"),
    # departments
    _("the department %(number)s of the same parent has the name %(name)s"),
    _("the department %(name)s cannot be moved below itself: %(number)s belongs to it"),
    _("there would be more than %(most)s levels of departments"),
    _("the department %(name)s has departments below it: %(count)s; move or remove them first"),
    _("the department %(name)s has users: %(count)s, disabled ones included; say which department they are moved to (--move-users-to ID)"),
    _("the priority is %(number)s; accepted are 0 to %(most)s"),
    _("the name of the department %(name)s has a %(separator)s, which separates the names in a path"),
    _("the users of department %(number)s cannot be moved to the department itself"),
    # groups and devices
    _("there is no group %(number)s"),
    _("no users are given"),
    _("group %(number)s is dismissed, and cannot be changed any more"),
    _("group %(number)s was dismissed meanwhile"),
    _("user %(user)s is not in group %(number)s; only a member can be its creator"),
    _("user %(user)s is the creator of group %(number)s, and could come back at any time: transfer the group first"),
    _("group %(number)s would have no members any more: dismiss it instead"),
    _("HttpMsgServer is off"),
    _("http_msg_server is not used for more than %(count)s users at once"),
    _("http_msg_server can do nothing with a group without members"),
    _("http_msg_server has made the change, and tells the clients that are online"),
    _("http_msg_server would make the change, and tell the clients that are online"),
    _("clients that are online are not told; they see it when they log in again"),
    _("clients that are online are not told; they see the group with its first message, or when they log in again"),
    _("nothing to change: it is so already"),
    _("user %(user)s has no phone that gets pushes"),
    # conversations and the archive
    _("conversations may not be read, searched or exported here: AdminReadMessages is off"),
    _("%(user)s and %(peer)s are the same user: give two different ones"),
    _("the users %(user)s and %(peer)s have no conversation"),
    _("%(number)s is no group id: give a number from 1 to %(most)s"),
    _("there is no conversation %(number)s between two users"),
    _("the text to search for is empty"),
    _("the conversation of %(name)s has no message with the msg_id %(number)s"),
    _("messages of the last %(hours)s hours are not archived: give a time before that"),
    _("another run is at work in %(directory)s"),
    _("another process restores %(directory)s"),
    _("the run %(directory)s has not ended: the next prune finishes it"),
)
"""The first that fits is taken."""


LONGEST = 500
"""Characters of a text that is looked for in the table: the time that takes grows with a higher power of the length."""

FIELDS = (_("name"), _("nick"), _("email"), _("phone"), _("domain"), _("avatar"), _("sign info"), _("name of the department"))
"""What ``field`` may be in a text."""


def told(text: object) -> object:
    """Return what a service has said in the language of the request; the same text if the table does not have it. A filter of the
    templates.
    """
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST or str(get_locale()) == "en":
        return text
    known = _known(text)
    if known is None and ": " in text:  # a reason, and what follows from it
        reason, consequence = map(_known, text.split(": ", 1))
        if reason is not None and consequence is not None:
            return gettext("%(reason)s: %(consequence)s", reason=reason, consequence=consequence)
    return text if known is None else known


def _known(text: str) -> str | None:
    """Return a text of the table in the language of the request; None: the table does not have it."""
    for template, pattern in _patterns():
        found = pattern.fullmatch(text)
        if found:
            filled_in = {key: gettext(value) if value in FIELDS else value for key, value in found.groupdict().items()}
            return str(gettext(template) % filled_in)
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each text with what recognizes it."""
    return tuple((text, _pattern(text)) for text in TEXTS)


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"%\((\w+)\)s", text)  # what stands in the text, a name, what stands in the text, …
    return re.compile("".join(f"(?P<{part}>.*)" if at % 2 else re.escape(part) for at, part in enumerate(parts)), re.DOTALL)
