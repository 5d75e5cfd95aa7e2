"""The Sentinels of the pools that have them: whether they can be asked, agree, and could carry out a failover. One thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.doctor.finding import Findings, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.reach import report_failure
from dbproxy.errors import StartupError
from dbproxy.stores.backend_calls import UNTRACKED
from dbproxy.stores.redis.commands import pairs
from dbproxy.stores.redis.sentinels import Named, Sentinels, UnknownServiceError, told_by
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import tls_context

ENOUGH = 3
"""Sentinels: with fewer the loss of one is the end of failovers."""


def check_sentinels(config: Config, findings: Findings, resolver: Resolver) -> None:
    """Examine the Sentinels of each service that ``config`` names."""
    services: dict[tuple[object, ...], list[CacheInstance]] = {}
    for instance in config.cache_instances.values():
        if instance.sentinels:
            services.setdefault((instance.service, instance.sentinels), []).append(instance)
    for sharing in services.values():
        subject = findings.about(f"Sentinels of {sharing[0].service}")
        with subject.guarded():
            _check(sharing[0], config, resolver, subject, ", ".join(instance.name for instance in sharing))


def _check(instance: CacheInstance, config: Config, resolver: Resolver, subject: Subject, pools: str) -> None:
    keys = f"{instance.name}_"
    try:
        context = None if instance.tls is None else tls_context(instance.name, instance.tls)
    except StartupError:
        return  # the pool has told that
    sentinels = Sentinels(instance, config, context, resolver, UNTRACKED)
    answers: list[Named] = []
    replicas: list[Mapping[str, str]] = []
    for one in sentinels.all():
        connection = sentinels.connection(one, config.cache_connect_timeout)
        try:
            answers.append(sentinels.ask(connection))
            replicas = replicas or _replicas(connection.exchange([("SENTINEL", "REPLICAS", instance.service)])[0])
        except (redis.RedisError, OSError) as error:
            _report_silent(subject, one, error, keys)
        finally:
            connection.disconnect()
    if not answers:
        return
    _check_agreement(answers, subject, pools)
    _check_majority(answers, len(instance.sentinels), subject, keys)
    _check_replicas(replicas, subject)
    _check_time(answers[0].facts, config, subject)


def _report_silent(subject: Subject, sentinel: CacheInstance, error: redis.RedisError | OSError, keys: str) -> None:
    report_failure(subject, error if isinstance(error, UnknownServiceError) else told_by(sentinel, error), keys)


def _replicas(reply: Sequence[object]) -> list[Mapping[str, str]]:
    found = reply[0]
    if not isinstance(found, list):
        return []
    return [{key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in pairs(one).items()} for one in found]


def _check_agreement(answers: Sequence[Named], subject: Subject, pools: str) -> None:
    named = sorted({f"{answer.host}:{answer.port}" for answer in answers})
    if len(named) > 1:
        subject.error(
            Kind.SENTINELS,
            f"they do not agree on the master: {', '.join(f'{a.sentinel} names {a.host}:{a.port} (epoch {a.epoch})' for a in answers)}",
            "run this again when a failover that goes on is over; otherwise look whether they reach each other",
        )
    elif any(answer.is_down for answer in answers):
        down = ", ".join(answer.sentinel for answer in answers if answer.is_down)
        subject.error(Kind.SENTINELS, f"the master {named[0]} is down according to {down}", "start it, or look why no replica takes over")
    else:
        subject.ok(Kind.SENTINELS, f"{len(answers)} of them name {named[0]} as the master ({pools})")


def _check_majority(answers: Sequence[Named], listed: int, subject: Subject, keys: str) -> None:
    """Compare how many Sentinels there are with how many a failover needs."""
    known = max(int(answer.facts.get("num-other-sentinels", 0)) + 1 for answer in answers)
    quorum = max(int(answer.facts.get("quorum", 1)) for answer in answers)
    needed = max(quorum, known // 2 + 1)
    if len(answers) < needed and listed >= known:
        subject.error(
            Kind.SENTINELS,
            f"{len(answers)} of {known} Sentinels answer, and a failover needs {needed} (quorum {quorum}): when the master dies, "
            "none takes over",
            "start the others; SENTINEL CKQUORUM says whether a failover is possible",
        )
    elif known < max(ENOUGH, quorum):
        subject.warning(
            Kind.SENTINELS,
            f"there are {known} Sentinels with quorum {quorum}: when one of them is lost, or the machine with it, no replica "
            "takes over any more",
            f"run {ENOUGH} of them on {ENOUGH} machines",
        )
    else:
        subject.ok(Kind.SENTINELS, f"there are {known} Sentinels, and a failover needs {needed} of them (quorum {quorum})")
    if listed < min(known, ENOUGH):
        subject.warning(
            Kind.SENTINELS,
            f"{keys}sentinels lists {listed} of {known} Sentinels: when those are lost, no new connection can be made",
            f"list {min(known, ENOUGH)} or more of them",
        )


def _check_replicas(replicas: Sequence[Mapping[str, str]], subject: Subject) -> None:
    up = [one for one in replicas if {"s_down", "o_down", "disconnected"}.isdisjoint(one.get("flags", "").split(","))]
    in_step = [one for one in up if one.get("master-link-status") == "ok"]
    if not up:
        subject.error(
            Kind.SENTINELS, f"none of {len(replicas)} replicas is up: nothing can take over when the master dies", "start a replica"
        )
    elif len(in_step) < len(replicas):
        lacking = ", ".join(f"{one.get('ip')}:{one.get('port')}" for one in replicas if one not in in_step)
        subject.warning(
            Kind.SENTINELS,
            f"{len(in_step)} of {len(replicas)} replicas follow the master, {lacking} not",
            "start them; SENTINEL RESET forgets those that are gone for good",
        )
    else:
        subject.ok(Kind.SENTINELS, f"{len(replicas)} replicas follow the master")


def _check_time(facts: Mapping[str, str], config: Config, subject: Subject) -> None:
    """Say what a crash of the master costs."""
    after = int(facts.get("down-after-milliseconds", 30_000)) / 1000
    waits = f"requests wait {config.cache_pool_timeout:g} s for another master (CachePoolTimeout)"
    if after + 2 > config.cache_pool_timeout:
        subject.info(
            Kind.SENTINELS,
            f"down-after-milliseconds is {after * 1000:.0f}: after a crash of the master it takes about {after + 2:g} s until another one "
            f"is there; {waits} and are refused after that",
            "SENTINEL SET ... down-after-milliseconds 2000 on each of them, if the network is good enough for it",
        )
    else:
        subject.ok(Kind.SENTINELS, f"another master is there about {after + 2:g} s after a crash, and {waits}")
