"""TLS to MySQL and to Redis, for each instance by itself, against real servers with certificates made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import Authority, Pair

from dbproxy.testing import PrivateMariaDB, PrivateRedis, ProxyProcess, Stack, StartupError
from dbproxy.testing.process import free_port

pytestmark = [pytest.mark.watchdog(90), pytest.mark.data(users=["alice", "bob"])]


@dataclass(frozen=True)
class Certificates:
    """Who trusts whom: the servers have certificates of ``trusted``, and so has the client ``proxy``; ``untrusted`` has none of it."""

    trusted: Authority
    other: Authority
    server: Pair
    proxy: Pair
    untrusted: Pair
    locked: Pair


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    trusted, other = Authority("trusted", directory), Authority("other", directory)
    pairs = trusted.issue("server"), trusted.issue("proxy"), other.issue("untrusted"), trusted.issue("locked", b"secret-words")
    return Certificates(trusted, other, *pairs)


@pytest.fixture(scope="module")
def mariadb(certificates: Certificates) -> Iterator[PrivateMariaDB]:
    """A server with TLS, and accounts that may enter with it only: ``encrypted``, and ``certified`` with a certificate of its own."""
    options = (
        f"--ssl-ca={certificates.trusted.certificate}",
        f"--ssl-cert={certificates.server.cert}",
        f"--ssl-key={certificates.server.key}",
    )
    with PrivateMariaDB(options=options) as server, server.connect() as connection, connection.cursor() as cursor:
        for name, needed in (("encrypted", "SSL"), ("certified", "X509")):
            cursor.execute(f"create user {name}@127.0.0.1 identified by 'secret-words' require {needed}")
            cursor.execute(f"grant all on *.* to {name}@127.0.0.1")
        yield server


@dataclass
class TlsRedis:
    """The server, and the port on which it speaks TLS."""

    server: PrivateRedis
    port: int


@pytest.fixture(scope="module")
def tls_redis(certificates: Certificates) -> Iterator[TlsRedis]:
    port = free_port()
    options = ["--tls-port", str(port), "--tls-ca-cert-file", str(certificates.trusted.certificate), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificates.server.cert), "--tls-key-file", str(certificates.server.key)]
    with PrivateRedis(options=options) as server:
        yield TlsRedis(server, port)


def slave(mariadb: PrivateMariaDB, user: str, **tls: object) -> dict[str, object]:
    """Keys by which the slave is the server with TLS; the master stays where it is, without."""
    keys: dict[str, object] = {"host": "127.0.0.1", "port": mariadb.port, "username": user, "password": "secret-words"}
    return {f"teamtalk_slave_{key}": value for key, value in {**keys, **tls}.items()}


def token(redis: TlsRedis, **tls: object) -> dict[str, object]:
    """Keys by which device tokens are on the server with TLS; the other instances stay where they are, without."""
    return {f"token_{key}": value for key, value in {"port": redis.port, **tls}.items()}


def failure(stack: Stack, keys: Mapping[str, object], env: Mapping[str, str] | None = None) -> str:
    """What the proxy says when it does not start with these keys; never a password."""
    proxy = ProxyProcess(stack, keys, env=env)
    try:
        with pytest.raises(StartupError):
            proxy.start()
    finally:
        proxy.stop()  # one that does start must not be there in later tests
    assert proxy.returncode == 3
    assert "secret-words" not in proxy.log()
    return proxy.log()


# MySQL


def works_with_mysql(stack: Stack, keys: Mapping[str, object]) -> None:
    with ProxyProcess(stack, keys) as proxy, proxy.client() as client:
        assert client.departments().user_id == 1  # from the slave
        assert client.send_message(1, 2).msg_id  # to the master


def test_mysql_with_an_authority_that_we_trust(stack: Stack, mariadb: PrivateMariaDB, certificates: Certificates) -> None:
    works_with_mysql(stack, slave(mariadb, "encrypted", ssl_ca=certificates.trusted.certificate))


def test_mysql_connections_with_tls_are_used_again(stack: Stack, mariadb: PrivateMariaDB, certificates: Certificates) -> None:
    def connections() -> int:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute("show global status like 'Connections'")
            return int((cursor.fetchone() or {})["Value"])

    with ProxyProcess(stack, slave(mariadb, "encrypted", ssl_ca=certificates.trusted.certificate)) as proxy, proxy.client() as client:
        client.departments()
        before = connections()
        for _ in range(20):
            assert client.departments().user_id == 1
        assert connections() - before == 1  # our own look


def test_mysql_with_another_authority_is_refused(stack: Stack, mariadb: PrivateMariaDB, certificates: Certificates) -> None:
    said = failure(stack, slave(mariadb, "encrypted", ssl_ca=certificates.other.certificate))
    assert "MySQL instance teamtalk_slave at 127.0.0.1" in said
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert "teamtalk_slave_ssl_ca" in said


def test_mysql_with_the_authorities_of_the_system_only_is_refused(stack: Stack, mariadb: PrivateMariaDB) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in failure(stack, slave(mariadb, "encrypted", ssl="on"))


def test_mysql_under_another_name_than_the_certificate_s_is_refused(
    stack: Stack, mariadb: PrivateMariaDB, certificates: Certificates
) -> None:
    keys = slave(mariadb, "encrypted", host="localhost", ssl_ca=certificates.trusted.certificate)
    assert "localhost" in failure(stack, keys).split("CERTIFICATE_VERIFY_FAILED")[1]


def test_mysql_without_verification(stack: Stack, mariadb: PrivateMariaDB, certificates: Certificates) -> None:
    works_with_mysql(stack, slave(mariadb, "encrypted", ssl="on", ssl_verify="off"))
    works_with_mysql(stack, slave(mariadb, "encrypted", ssl_ca=certificates.other.certificate, ssl_verify="off"))


def test_mysql_that_wants_a_certificate_of_ours(stack: Stack, mariadb: PrivateMariaDB, certificates: Certificates) -> None:
    keys = slave(mariadb, "certified", ssl_ca=certificates.trusted.certificate)
    works_with_mysql(stack, {**keys, "teamtalk_slave_ssl_cert": certificates.proxy.cert, "teamtalk_slave_ssl_key": certificates.proxy.key})
    assert "Access denied" in failure(stack, keys)
    untrusted = {"teamtalk_slave_ssl_cert": certificates.untrusted.cert, "teamtalk_slave_ssl_key": certificates.untrusted.key}
    # the server says so, or just ends the connection; then it is a replica that does not answer
    proxy = ProxyProcess(stack, {**keys, **untrusted})
    try:
        proxy.start()
    except StartupError:
        assert proxy.returncode == 3
    finally:
        proxy.stop()
    assert f"teamtalk_slave at 127.0.0.1:{mariadb.port}" in proxy.log()
    assert "secret-words" not in proxy.log()


def test_mysql_without_tls_where_it_is_wanted_gets_no_password(stack: Stack) -> None:
    """Somebody on the way can always say that a server has none."""
    plain = PrivateMariaDB(schema=None)
    with PrivateMariaDB(options=("--tls-version=" if plain.is_mysql else "--skip-ssl",), schema=None) as plain:
        said = failure(stack, slave(plain, plain.user, password=plain.password, ssl="on", ssl_verify="off"))
    assert "teamtalk_slave" in said
    assert "TLS is required but the server does not offer it" in said


def test_mysql_that_wants_tls_does_not_let_us_in_without(stack: Stack, mariadb: PrivateMariaDB) -> None:
    assert "Access denied" in failure(stack, slave(mariadb, "encrypted"))


# Redis


def works_with_redis(stack: Stack, redis: TlsRedis, keys: Mapping[str, object]) -> None:
    with ProxyProcess(stack, keys) as proxy, proxy.client() as client:
        assert client.set_device_token(1, "abcdef").user_id == 1
        assert client.send_message(1, 2).msg_id
    with redis.server.connect(4) as tokens:
        assert tokens.get("device_1") == "android:abcdef"
        tokens.flushall()


def test_redis_with_an_authority_that_we_trust(stack: Stack, tls_redis: TlsRedis, certificates: Certificates) -> None:
    works_with_redis(stack, tls_redis, token(tls_redis, ssl_ca=certificates.trusted.certificate))


def test_redis_connections_with_tls_are_used_again(stack: Stack, tls_redis: TlsRedis, certificates: Certificates) -> None:
    with (
        ProxyProcess(stack, token(tls_redis, ssl_ca=certificates.trusted.certificate)) as proxy,
        proxy.client() as client,
        tls_redis.server.connect() as redis,
    ):
        client.device_tokens([1])
        before = redis.info("stats")["total_connections_received"]
        for _ in range(20):
            client.device_tokens([1])
        assert redis.info("stats")["total_connections_received"] == before


def test_redis_with_another_authority_is_refused(stack: Stack, tls_redis: TlsRedis, certificates: Certificates) -> None:
    said = failure(stack, token(tls_redis, ssl_ca=certificates.other.certificate))
    assert "Redis instance token at 127.0.0.1" in said
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert "token_ssl_ca" in said


def test_redis_under_another_name_than_the_certificate_s_is_refused(stack: Stack, tls_redis: TlsRedis, certificates: Certificates) -> None:
    keys = token(tls_redis, host="localhost", ssl_ca=certificates.trusted.certificate)
    assert "localhost" in failure(stack, keys).split("CERTIFICATE_VERIFY_FAILED")[1]


def test_redis_without_verification(stack: Stack, tls_redis: TlsRedis) -> None:
    works_with_redis(stack, tls_redis, token(tls_redis, ssl="on", ssl_verify="off"))


def test_redis_that_wants_a_certificate_of_ours(stack: Stack, tls_redis: TlsRedis, certificates: Certificates) -> None:
    keys = token(tls_redis, ssl_ca=certificates.trusted.certificate)
    with tls_redis.server.connect() as redis:
        redis.config_set("tls-auth-clients", "yes")
        try:
            works_with_redis(stack, tls_redis, {**keys, "token_ssl_cert": certificates.proxy.cert, "token_ssl_key": certificates.proxy.key})
            assert "Redis instance token" in failure(stack, keys)
            untrusted = {"token_ssl_cert": certificates.untrusted.cert, "token_ssl_key": certificates.untrusted.key}
            assert "Redis instance token" in failure(stack, {**keys, **untrusted})
        finally:
            redis.config_set("tls-auth-clients", "no")


def test_redis_that_does_not_speak_tls_is_refused(stack: Stack, certificates: Certificates) -> None:
    plain = TlsRedis(stack.redis_server, stack.redis_server.port)
    keys = token(plain, ssl_ca=certificates.trusted.certificate, password="secret-words")
    assert "Redis instance token" in failure(stack, {**keys, "CacheTimeout": 1, "CacheConnectTimeout": 1, "StartTimeout": 0})


# whom we trust


def test_without_its_own_ca_an_instance_trusts_those_of_the_system(
    stack: Stack, mariadb: PrivateMariaDB, tls_redis: TlsRedis, certificates: Certificates
) -> None:
    system = {"SSL_CERT_FILE": str(certificates.trusted.certificate)}
    keys = {**slave(mariadb, "encrypted", ssl="on"), **token(tls_redis, ssl="on")}
    with ProxyProcess(stack, keys, env=system) as proxy, proxy.client() as client:
        assert client.departments().user_id == 1
        assert client.set_device_token(1, "abcdef").user_id == 1
        assert [info.token for info in client.device_tokens([1]).user_token_info] == ["abcdef"]


def test_with_its_own_ca_an_instance_trusts_no_other(
    stack: Stack, mariadb: PrivateMariaDB, tls_redis: TlsRedis, certificates: Certificates
) -> None:
    system = {"SSL_CERT_FILE": str(certificates.trusted.certificate)}
    for keys in (
        slave(mariadb, "encrypted", ssl_ca=certificates.other.certificate),
        token(tls_redis, ssl_ca=certificates.other.certificate),
    ):
        assert "CERTIFICATE_VERIFY_FAILED" in failure(stack, keys, system)


# files


def test_files_that_are_no_certificates_are_named_with_their_keys(
    stack: Stack, tls_redis: TlsRedis, certificates: Certificates, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nothing of the kind")
    said = failure(stack, token(tls_redis, ssl_ca=nonsense))
    assert str(nonsense) in said
    assert "token_ssl_ca" in said
    said = failure(stack, token(tls_redis, ssl_cert=certificates.proxy.cert, ssl_key=certificates.untrusted.key))
    assert str(certificates.untrusted.key) in said
    assert "token_ssl_key" in said


def test_a_key_with_a_password_is_an_error_and_no_question(stack: Stack, tls_redis: TlsRedis, certificates: Certificates) -> None:
    said = failure(stack, token(tls_redis, ssl_cert=certificates.locked.cert, ssl_key=certificates.locked.key))
    assert "token_ssl_key" in said
