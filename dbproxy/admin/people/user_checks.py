"""What is accepted as the data of a user, and how it becomes a row. Pure but for the description of the columns; any thread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.people.named_users import LARGEST_ID
from dbproxy.admin.texts import check_name, check_text, shown
from dbproxy.models.directory import TextColumn
from dbproxy.models.user import MAX_SIGN_INFO
from dbproxy.models.user_writer import Conflict, Reason

FEMALE, MALE = 0, 1
"""IMUser.sex; clients show every other value as they show 0."""

_PHONE = re.compile(r"[0-9+\-() #*]*")


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a new user gets. ``nick`` and ``domain`` are the name if they are empty. ``department_id`` 0: the only department, if there is
    only one.
    """

    name: str
    nick: str = ""
    sex: int = FEMALE
    department_id: int = 0
    email: str = ""
    phone: str = ""
    domain: str = ""
    avatar: str = ""
    sign_info: str = ""


FIELDS: Mapping[str, str] = {
    "name": "name",
    "nick": "nick",
    "sex": "sex",
    "department_id": "departId",
    "email": "email",
    "phone": "phone",
    "domain": "domain",
    "avatar": "avatar",
    "sign_info": "sign_info",
}
"""Field of ``NewUser`` → column of IMUser."""


def check_values(values: Mapping[str, str | int], columns: Mapping[str, TextColumn]) -> None:
    """Check fields of ``NewUser`` against the columns of IMUser.

    Raises:
        RefusedError: naming the field, what was given and what is accepted.

    """
    for field, value in values.items():
        if field not in FIELDS:
            raise RefusedError(f"a user has no field {shown(field)}; there are {', '.join(FIELDS)}")
        if field == "sex":
            if value not in (FEMALE, MALE):
                raise RefusedError(f"the sex is {value!r}; accepted are {FEMALE} (female) and {MALE} (male)")
        elif field == "department_id":
            if not isinstance(value, int) or not 0 < value <= LARGEST_ID:
                raise RefusedError(f"the department is {value!r}; accepted is the id of a department")
        elif not isinstance(value, str):
            raise RefusedError(f"the {field} is {value!r}; accepted is a text")
        else:
            _check_text_field(field, value, columns[field])


def _check_text_field(field: str, text: str, column: TextColumn) -> None:
    what = field.replace("_", " ")
    if field in ("name", "nick"):
        check_name(what, text, column)
    else:
        check_text(what, text, column, most_bytes=MAX_SIGN_INFO if field == "sign_info" else None)
    if field == "phone" and not _PHONE.fullmatch(text):
        raise RefusedError(f"the phone is {shown(text)}; accepted are digits, blanks and + - ( ) # *")
    if field == "email" and text and (text.count("@") != 1 or text.startswith("@") or text.endswith("@") or " " in text):
        raise RefusedError(f"the email is {shown(text)}; accepted is one like name@example.com, or none")


def refusal(conflict: Conflict, name: str) -> NotFoundError | RefusedError:
    """Return the error for a conflict that the database knows of; ``name``: the one that was given."""
    if conflict.reason is Reason.NO_USER:
        return NotFoundError(f"there is no user with the id {conflict.other}")
    if conflict.reason is Reason.NO_DEPARTMENT:
        return NotFoundError(f"there is no department with the id {conflict.other}")
    if conflict.reason is Reason.NAME_TAKEN:
        return RefusedError(f"the name {shown(name)} is taken by the user with the id {conflict.other}")
    return RefusedError(f"the name {shown(name)} is there twice")
