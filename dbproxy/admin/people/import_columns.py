"""What the columns of an import are called, and what their cells mean. Pure; any thread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dbproxy.admin.errors import RefusedError
from dbproxy.admin.people.user_checks import FEMALE, MALE
from dbproxy.admin.texts import shown

NAMES: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "user", "username", "login", "loginname", "account", "用户名", "登录名", "账号", "帐号", "账户", "用户"),
    "nick": ("nick", "nickname", "displayname", "fullname", "昵称", "花名", "姓名", "显示名"),
    "sex": ("sex", "gender", "性别"),
    "department": ("department", "dept", "departid", "departmentid", "部门", "所属部门", "部门id"),
    "email": ("email", "mail", "邮箱", "电子邮箱", "电子邮件", "邮件"),
    "phone": ("phone", "tel", "telephone", "mobile", "电话", "手机", "手机号", "手机号码", "电话号码", "联系电话"),
    "domain": ("domain", "pinyin", "拼音", "域名"),
    "avatar": ("avatar", "头像"),
    "sign_info": ("signinfo", "signature", "签名", "个性签名"),
    "password": ("password", "密码", "初始密码"),
    "status": ("status", "状态"),
}
"""Field → names of its column, without letter case, blanks, hyphens and underscores."""

_FIELD_OF = {name: field for field, names in NAMES.items() for name in names}

_SEXES = {"": FEMALE, "0": FEMALE, "2": FEMALE, "f": FEMALE, "female": FEMALE, "女": FEMALE, "1": MALE, "m": MALE, "male": MALE, "男": MALE}

_LISTED = 20
"""Columns that an error names, at most."""

_ACTIVE = ("", "0", "active", "在职", "启用", "正常")


def fields_of(columns: Sequence[str]) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """Return for each column the field that it has, or None; and the names of the columns without one.

    Raises:
        RefusedError: there is no column of login names, or there are two of one field.

    """
    fields = tuple(_FIELD_OF.get(re.sub(r"[\s_\-]", "", column).casefold()) for column in columns)
    known = [field for field in fields if field is not None]
    if "name" not in known:
        given = ", ".join(shown(column) for column in columns[:_LISTED])
        raise RefusedError(
            f"the first line has no column of login names, which is called name or 用户名; its columns are {given}. Names that are known: "
            + ", ".join(f"{names[0]} ({next(name for name in names if not name.isascii())})" for names in NAMES.values())
        )
    for field in known:
        if known.count(field) > 1:
            twice = [shown(column) for column, its in zip(columns, fields, strict=True) if its == field]
            raise RefusedError(f"the columns {' and '.join(twice[:_LISTED])} are both the {field} of a user; leave one of them")
    return fields, tuple(column for column, field in zip(columns, fields, strict=True) if field is None)


def sex_of(text: str) -> int:
    """Return the sex that a cell means; empty: female, as the column's default.

    Raises:
        RefusedError: it means none.

    """
    found = _SEXES.get(text.casefold())
    if found is None:
        raise RefusedError(f"the sex is {shown(text)}; accepted are male, female, 男, 女, 1 (male) and 0 (female)")
    return found


def check_active(text: str) -> None:
    """Check a cell of the column ``status``.

    Raises:
        RefusedError: it is not that of a user who may log in.

    """
    if text.casefold() not in _ACTIVE:
        raise RefusedError(f"the status is {shown(text)}; only users whose status is active are added")
