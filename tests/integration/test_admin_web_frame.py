"""What every page of the web application has: login, roles, tokens, headers, languages, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import PASSWORD, AdminApp, Visitor

from dbproxy.admin.access.roles import Permission, Role, may
from dbproxy.admin.web.login_limits import MOST_FOR_ADDRESS
from dbproxy.admin.web.views import Pages, requirement_of
from dbproxy.testing import Stack, seed


def addresses(app: AdminApp) -> Iterator[tuple[str, str, Permission | None]]:
    """Every address with a method and the permission that it needs; parameters are filled with something that does not exist."""
    with app.app.app_context():
        for rule in app.app.url_map.iter_rules():
            path = re.sub(r"<[^<>]+>", "424242", re.sub(r"<any\((\w+)[^<>]*>", r"\1", rule.rule))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, path, requirement_of(rule.endpoint).permission


def ask(visitor: Visitor, method: str, path: str, token: str) -> int:
    return visitor.get(path).status_code if method == "GET" else visitor.post_without_token(path, {"csrf_token": token}).status_code


def test_nobody_gets_a_page_without_logging_in(admin_app: AdminApp) -> None:
    visitor = admin_app.visitor()
    token = visitor.token("/login")
    checked = 0
    for method, path, permission in addresses(admin_app):
        if permission is None:
            continue
        response = visitor.get(path) if method == "GET" else visitor.post_without_token(path, {"csrf_token": token})
        assert (response.status_code, response.location.partition("?")[0]) == (303, "/login"), (method, path)
        checked += 1
    assert checked > 10


@pytest.mark.parametrize("role", list(Role))
def test_a_role_gets_what_it_may_and_nothing_else(admin_app: AdminApp, role: Role) -> None:
    visitor = admin_app.visitor(role)
    token = visitor.token("/account")
    for method, path, permission in addresses(admin_app):
        if permission is None or path.startswith("/logout"):
            continue
        assert (ask(visitor, method, path, token) == 403) == (not may(role, permission)), (method, path)


def test_a_form_without_its_token_does_nothing(admin_app: AdminApp) -> None:
    visitor = admin_app.visitor(Role.OWNER)
    admin_app.account("bob", Role.VIEWER)
    for method, path, _ in addresses(admin_app):
        if method == "POST":
            response = visitor.post_without_token(path)
            assert response.status_code == 400, path
            assert "The form was not accepted" in response.text
    assert [account.name for account in admin_app.site.accounts.all()] == ["bob", "owner"]
    assert visitor.get("/account").status_code == 200  # and it was not logged out


def test_a_token_of_another_person_is_not_accepted(admin_app: AdminApp) -> None:
    token = admin_app.visitor(Role.OWNER).token("/account")
    other = admin_app.visitor(Role.OWNER, name="other")
    assert other.post_without_token("/logout/everywhere", {"csrf_token": token}).status_code == 400


def test_a_route_without_a_permission_is_refused_at_the_start(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = Pages("forgotten")
    forgotten.add_url_rule("/forgotten", "show", lambda: "")
    monkeypatch.setattr("dbproxy.admin.web.app.PAGES", (forgotten,))
    with pytest.raises(RuntimeError, match=r"forgotten\.show says nothing about permissions"):
        AdminApp(stack, tmp_path)


def test_every_page_has_the_headers(admin_app: AdminApp) -> None:
    visitor = admin_app.visitor(Role.OWNER)
    for path in ("/account", "/accounts", "/audit", "/nothing", "/", "/login", "/static/admin.css"):
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == ("private, max-age=3600" if path.startswith("/static/") else "no-store")
        assert "Strict-Transport-Security" not in headers


def test_pages_have_no_inline_scripts_or_styles() -> None:
    templates = Path("dbproxy/admin/web/templates").resolve()
    templates = templates if templates.exists() else Path(__file__).parents[2] / "dbproxy" / "admin" / "web" / "templates"
    for path in templates.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:|\|\s*safe\b", text), path
        assert "autoescape" not in text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(admin_app: AdminApp) -> None:
    admin_app.account("alice")
    response = admin_app.visitor().log_in("alice")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("dbproxy-admin=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))
    assert "Expires" not in cookie
    assert "Domain" not in cookie


def test_behind_a_proxy_with_https_the_cookie_is_for_https(stack: Stack, tmp_path: Path) -> None:
    with AdminApp(stack, tmp_path, WebAdminTrustedProxies="10.0.0.0/8", WebAdminHosts="admin.example.com") as app:
        app.account("alice")
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7", "Host": "admin.example.com"}
        response = app.visitor(address="10.0.0.1").get("/login", headers=forwarded)
        assert response.headers["Strict-Transport-Security"].startswith("max-age=")
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-dbproxy-admin=")
        assert "Secure" in cookie.split("; ")
        forged = app.visitor(address="192.0.2.1").get("/login", headers=forwarded)  # it is not one of the proxies
        assert "Secure" not in forged.headers["Set-Cookie"]


def test_the_token_of_the_forms_changes_with_the_login(admin_app: AdminApp) -> None:
    admin_app.account("alice")
    visitor = admin_app.visitor()
    before = visitor.token("/login")
    visitor.log_in("alice")
    assert visitor.post_without_token("/logout", {"csrf_token": before}).status_code == 400
    assert visitor.get("/account").status_code == 200


def test_a_wrong_password_an_unknown_name_and_a_disabled_account_look_alike(admin_app: AdminApp) -> None:
    admin_app.account("alice")
    admin_app.account("bob", Role.VIEWER)
    admin_app.site.accounts.set_enabled("bob", False)
    answers = set()
    for name, password in (("alice", "wrong password"), ("nobody", PASSWORD), ("bob", PASSWORD)):
        response = admin_app.visitor().log_in(name, password)
        answers.add((response.status_code, re.sub(r'value="[^"]*"', "", response.text)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 403


def test_failed_logins_are_recorded_without_what_was_typed(admin_app: AdminApp) -> None:
    admin_app.account("alice")
    admin_app.visitor(address="192.0.2.7").log_in("alice", "wrong password")
    admin_app.visitor(address="192.0.2.7").log_in("my secret password", "x")  # in the wrong field
    entries, _ = admin_app.log.newest(10)
    assert [(entry["actor"], entry["origin"], entry["action"], entry["outcome"]) for entry in entries] == [
        ("(no account)", "192.0.2.7", "web.login", "wrong name or password, or disabled"),
        ("alice", "192.0.2.7", "web.login", "wrong name or password, or disabled"),
    ]
    text = admin_app.log.path.read_text(encoding="utf-8")
    assert "secret" not in text
    assert "wrong password" not in text


def test_too_many_wrong_passwords_keep_an_address_out(admin_app: AdminApp) -> None:
    admin_app.account("alice")
    visitor = admin_app.visitor(address="192.0.2.7")
    token = visitor.token("/login")
    for _ in range(MOST_FOR_ADDRESS):
        visitor.post_without_token("/login", {"csrf_token": token, "name": "alice", "password": "wrong password"})
    response = visitor.log_in("alice")
    assert response.status_code == 429
    assert "Too many wrong passwords" in response.text
    assert admin_app.visitor(address="192.0.2.8").log_in("alice").status_code == 303


def test_a_proxy_that_is_not_trusted_cannot_choose_its_address(admin_app: AdminApp) -> None:
    admin_app.account("alice")
    admin_app.visitor(address="192.0.2.7").post(
        "/login", {"name": "alice", "password": "wrong"}, headers={"X-Forwarded-For": "198.51.100.1"}
    )
    assert admin_app.log.newest(1)[0][0]["origin"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("goal", "path"),
    [
        ("/accounts", "/accounts"),
        ("/audit?after=5", "/audit?after=5"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\tevil", "/"),
        ("", "/"),
    ],
)
def test_the_login_leads_to_pages_of_this_site_only(admin_app: AdminApp, goal: str, path: str) -> None:
    admin_app.account("alice")
    assert admin_app.visitor().log_in("alice", next=goal).location == path


def test_logging_out_ends_the_session_for_whoever_has_its_cookie(admin_app: AdminApp) -> None:
    visitor = admin_app.visitor(Role.VIEWER)
    cookie = visitor.cookie()
    visitor.post("/logout")
    thief = admin_app.visitor()
    thief.set_cookie(cookie)
    assert thief.get("/account").status_code == 303


def test_logging_out_everywhere_ends_all_sessions(admin_app: AdminApp) -> None:
    first = admin_app.visitor(Role.VIEWER)
    second = admin_app.visitor()
    second.log_in("viewer")
    assert second.get("/account").status_code == 200
    first.post("/logout/everywhere")
    assert [visitor.get("/account").status_code for visitor in (first, second)] == [303, 303]


def test_a_change_of_the_role_ends_the_session_at_once_and_says_so(admin_app: AdminApp) -> None:
    visitor = admin_app.visitor(Role.OPERATOR)
    admin_app.site.accounts.set_role("operator", Role.VIEWER)
    response = visitor.get("/account", follow_redirects=True)
    assert "Your session is over; please log in again" in response.text


def test_a_host_that_is_not_known_is_refused(admin_app: AdminApp) -> None:
    visitor = admin_app.visitor()
    assert visitor.get("/login", headers={"Host": "rebound.evil.example"}).status_code == 400
    for host in ("localhost:10690", "127.0.0.1", "[::1]:1"):
        assert visitor.get("/login", headers={"Host": host}).status_code == 200


def test_the_language_is_that_of_the_browser_until_another_is_chosen(admin_app: AdminApp) -> None:
    for header, word in (("zh-CN,en;q=0.5", "登录"), ("zh-TW", "登录"), ("de", "Log in"), ("en-GB, zh;q=0.9", "Log in")):
        assert f"<h1>{word}</h1>" in admin_app.visitor(language=header).get("/login").text
    visitor = admin_app.visitor(language="en")
    response = visitor.post("/language", {"language": "zh", "next": "/login"}, form="/login")
    assert (response.status_code, response.location) == (303, "/login")
    page = visitor.get("/login").text
    assert "<h1>登录</h1>" in page
    assert '<html lang="zh-CN">' in page
    visitor.post("/language", {"language": "xx", "next": "//evil.example"}, form="/login")
    assert "<h1>登录</h1>" in visitor.get("/login").text


def test_the_own_password_is_changed_by_who_knows_it(admin_app: AdminApp) -> None:
    visitor, other = admin_app.visitor(Role.VIEWER), admin_app.visitor()
    other.log_in("viewer")
    new = "another long password"
    wrong = visitor.post("/account", {"current": "not this one", "new": new, "again": new})
    assert (wrong.status_code, "The current password is wrong" in wrong.text) == (400, True)
    differs = visitor.post("/account", {"current": PASSWORD, "new": new, "again": new + "!"})
    assert (differs.status_code, "was not typed the same way twice" in differs.text) == (400, True)
    short = visitor.post("/account", {"current": PASSWORD, "new": "short", "again": "short"})
    assert (short.status_code, "12 to 256 characters" in short.text) == (400, True)
    assert visitor.post("/account", {"current": PASSWORD, "new": new, "again": new}).status_code == 303
    assert "Your password is changed" in visitor.get("/account").text
    assert other.get("/account").status_code == 303
    assert admin_app.visitor().log_in("viewer", new).status_code == 303
    assert new not in admin_app.log.path.read_text(encoding="utf-8")


def test_owners_manage_accounts(admin_app: AdminApp) -> None:
    owner = admin_app.visitor(Role.OWNER)
    made = owner.post("/accounts", {"name": "管理员", "role": "operator"})
    found = re.search(r'id="password">(\w{20})<', made.text)
    assert found
    assert admin_app.visitor().log_in("管理员", found[1]).status_code == 303
    assert found[1] not in owner.get("/accounts").text
    assert owner.post("/accounts/管理员/role", {"role": "viewer"}, form="/accounts").status_code == 303
    assert admin_app.site.accounts.get("管理员").role is Role.VIEWER
    assert "Disable the account 管理员?" in owner.get("/accounts/管理员/disable").text
    assert owner.post("/accounts/管理员/disable").status_code == 303
    assert not admin_app.site.accounts.get("管理员").enabled
    owner.post("/accounts/管理员/enable")
    changed = re.search(r'id="password">(\w{20})<', owner.post("/accounts/管理员/password").text)
    assert changed
    assert admin_app.visitor().log_in("管理员", changed[1]).status_code == 303
    owner.post("/accounts/管理员/remove")
    assert [account.name for account in admin_app.site.accounts.all()] == ["owner"]
    entries, _ = admin_app.log.newest(20)
    assert [entry["action"] for entry in reversed(entries) if entry["actor"] == "owner" and entry["action"] != "web.login"] == [
        "accounts.add",
        "accounts.role",
        "accounts.disable",
        "accounts.enable",
        "accounts.passwd",
        "accounts.remove",
    ]
    log = admin_app.log.path.read_text(encoding="utf-8")
    assert found[1] not in log
    assert changed[1] not in log


def test_what_is_refused_is_said_on_the_page_and_changes_nothing(admin_app: AdminApp) -> None:
    owner = admin_app.visitor(Role.OWNER)
    for path, data, text in (
        ("/accounts", {"name": "<b>x</b>", "role": "viewer"}, "cannot be the name of an account"),
        ("/accounts", {"name": "OWNER", "role": "viewer"}, "there is an account OWNER already"),
        ("/accounts", {"name": "bob", "role": "king"}, "there is no role"),
        ("/accounts/owner/role", {"role": "viewer"}, "is the last enabled owner"),
        ("/accounts/owner/disable", {}, "is the last enabled owner"),
        ("/accounts/owner/remove", {}, "is the last enabled owner"),
    ):
        response = owner.post(path, data, form="/accounts")
        assert response.status_code == 400
        assert text in response.text
        assert "<b>x</b>" not in response.text
    assert [(account.name, account.role) for account in admin_app.site.accounts.all()] == [("owner", Role.OWNER)]


def test_the_audit_log_is_shown_newest_first_in_pages(admin_app: AdminApp) -> None:
    owner = admin_app.visitor(Role.OWNER)
    hostile = "<script>alert(1)</script>\u202e\x00"
    with admin_app.log.path.open("a", encoding="utf-8") as file:
        for number in range(120):
            entry = {"time": "2026-11-26T15:00:00.000+00:00", "actor": hostile, "origin": "x", "action": "a", "target": f"entry {number};"}
            file.write(json.dumps({**entry, "outcome": "ok", "details": {"name": hostile}}) + "\n")
    seen: list[int] = []
    path = "/audit"
    while path:
        page = owner.get(path).text
        assert "<script>alert" not in page
        assert "\x00" not in page
        seen += [int(number) for number in re.findall(r"entry (\d+);", page)]
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = following[1] if following else ""
    assert seen == list(reversed(range(120)))


def test_bodies_are_bounded_before_they_are_read(admin_app: AdminApp) -> None:
    anonymous, owner = admin_app.visitor(), admin_app.visitor(Role.OWNER)
    assert anonymous.post_without_token("/login", {"name": "x" * 70_000}).status_code == 413
    assert owner.post_without_token("/accounts", {"name": "x" * (1 << 20)}).status_code == 413
    assert owner.post("/accounts", {"name": "x" * 70_000, "role": "viewer"}).status_code == 400


def test_there_is_nothing_beside_the_files_that_are_meant(admin_app: AdminApp) -> None:
    visitor = admin_app.visitor()
    assert visitor.get("/static/uplot.js").status_code == 200
    for path in ("/static/..%2fapp.py", "/static/../app.py", "/static/app.py", "/static/%2e%2e%2fviews.py", "/static/"):
        assert visitor.get(path).status_code == 404


def test_a_lost_directory_is_said_and_the_application_goes_on(admin_app: AdminApp) -> None:
    owner = admin_app.visitor(Role.OWNER)
    log = admin_app.log.path
    kept = log.read_bytes()
    log.unlink()
    log.mkdir()
    response = owner.post("/accounts", {"name": "bob", "role": "viewer"})
    assert response.status_code == 500
    assert "cannot be written" in response.text
    assert [account.name for account in admin_app.site.accounts.all()] == ["owner"]  # what cannot be recorded is not done
    log.rmdir()
    log.write_bytes(kept)
    assert owner.post("/accounts", {"name": "bob", "role": "viewer"}).status_code == 200


def test_every_request_gives_its_place_at_the_backends_back(stack: Stack, admin_app: AdminApp) -> None:
    seed.users(stack, "alice")
    owner = admin_app.visitor(Role.OWNER)
    for path, status in (("/users", 200), ("/users/1", 200), ("/users/4711", 404), ("/users/export.csv", 200), ("/overview", 200)):
        for _ in range(admin_app.site.backends.places + 1):
            assert owner.get(path).status_code == status, path
    taken = [admin_app.site.backends.take() for _ in range(admin_app.site.backends.places)]
    assert len(taken) == admin_app.site.backends.places
    response = owner.get("/users")
    assert (response.status_code, "other requests are waiting" in response.text) == (503, True)
    for _ in taken:
        admin_app.site.backends.release()
    assert owner.get("/users").status_code == 200


def test_an_error_that_nobody_thought_of_is_a_page_and_in_the_log(
    admin_app: AdminApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = admin_app.visitor(Role.OWNER)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect with details")

    monkeypatch.setattr(admin_app.site.log, "newest", broken)
    response = owner.get("/audit")
    assert response.status_code == 500
    assert "An error that should not happen" in response.text
    assert "a defect with details" not in response.text
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
