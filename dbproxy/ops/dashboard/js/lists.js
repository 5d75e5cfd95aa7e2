// The tables that are filled from /status.json: commands, queues, backends, pools, slow requests and warnings.

import { count, decimal, duration, moment, NONE, quantileDuration, rate } from "./format.js";
import { text } from "./i18n.js";
import { failuresOf, levelOf } from "./view.js";

const shortName = (command) => command.replace(/^CID_/, "");
const ratio = (sum, number) => (number > 0 ? sum / number : null);

/** Columns of the table of commands; its rows come from commandRows(). */
export const COMMAND_COLUMNS = [
  { text: "commands.command", kind: "name", value: (row) => shortName(row.name), sort: "name" },
  { text: "commands.rate", kind: "number", value: (row) => rate(row.rate), sort: "rate", fill: (row) => row.share },
  { text: "commands.p50.waiting", kind: "number", value: (row) => quantileDuration(row.waiting50, row.bounds) },
  { text: "commands.p99.waiting", kind: "number", value: (row) => quantileDuration(row.waiting99, row.bounds), sort: "waiting99" },
  { text: "commands.p50.working", kind: "number", value: (row) => quantileDuration(row.working50, row.bounds) },
  { text: "commands.p99.working", kind: "number", value: (row) => quantileDuration(row.working99, row.bounds), sort: "working99" },
  { text: "commands.answered", kind: "number", value: (row) => count(row.answered), sort: "answered" },
  {
    text: "outcome.refused",
    kind: "number",
    value: (row) => count(row.refused),
    sort: "refused",
    level: (row) => (row.refusedNow > 0 ? "warn" : ""),
  },
  {
    text: "outcome.dropped",
    kind: "number",
    value: (row) => count(row.dropped),
    sort: "dropped",
    level: (row) => (row.droppedNow > 0 ? "warn" : ""),
  },
  {
    text: "outcome.unreadable",
    kind: "number",
    value: (row) => count(row.unreadable),
    sort: "unreadable",
    level: (row) => (row.unreadableNow > 0 ? "warn" : ""),
  },
];

/** Rows of the table of commands, sorted; without `all` only commands that were requested since the start. */
export function commandRows(view, sort, all) {
  const { change } = view;
  const rows = [];
  for (const [name, counted] of Object.entries(view.status.requests)) {
    const { answered, refused, dropped, unreadable } = counted;
    if (!all && answered + refused + dropped + unreadable === 0) continue;
    const now = (outcome) => change?.growth((snapshot) => snapshot.requests[name]?.[outcome]) ?? 0;
    const row = { name, answered, refused, dropped, unreadable, bounds: view.bounds };
    row.refusedNow = now("refused");
    row.droppedNow = now("dropped");
    row.unreadableNow = now("unreadable");
    row.rate = change === null ? null : (now("answered") + row.refusedNow + row.droppedNow + row.unreadableNow) / change.seconds;
    for (const phase of ["waiting", "working"]) {
      row[`${phase}50`] = view.quantile(change, phase, 0.5, [name]);
      row[`${phase}99`] = view.quantile(change, phase, 0.99, [name]);
    }
    rows.push(row);
  }
  const busiest = Math.max(0, ...rows.map((row) => row.rate ?? 0));
  for (const row of rows) row.share = busiest > 0 ? row.rate / busiest : 0;
  // equal ones by name, so that they do not change places
  rows.sort((one, other) => (sort === "name" ? 0 : (other[sort] ?? -1) - (one[sort] ?? -1)) || (one.name < other.name ? -1 : 1));
  return rows;
}

export const QUEUE_COLUMNS = [
  { text: "queues.queue", kind: "name", value: (row) => shortName(row.name) },
  { text: "queues.waiting", kind: "number", value: (row) => count(row.waiting), fill: (row) => row.share },
];

export function queueRows({ status: { queues } }) {
  return queues.by_queue.map((queue) => ({ ...queue, share: ratio(queue.waiting, queues.waiting) ?? 0 }));
}

export const BACKEND_COLUMNS = [
  { text: "backends.backend", kind: "name", value: (row) => row.name },
  { text: "backends.inside", kind: "number", value: (row) => (row.seconds === null ? NONE : `${decimal(row.seconds)} s/s`) },
  { text: "backends.calls", kind: "number", value: (row) => rate(row.calls) },
  { text: "backends.mean", kind: "number", value: (row) => duration(ratio(row.seconds, row.calls)) },
  { text: "backends.failures", kind: "number", value: (row) => count(row.failures), level: (row) => (row.failing ? "warn" : "") },
];

export function backendRows(view) {
  const { change, status } = view;
  const kinds = [
    ["mysql", "MySQL"],
    ["redis", "Redis"],
  ].map(([kind, name]) => ({
    name,
    seconds: view.poolRate(change, kind, "seconds"),
    calls: view.poolRate(change, kind, "calls"),
    failures: status.pools.filter((pool) => pool.kind === kind).reduce((sum, pool) => sum + failuresOf(pool), 0),
    failing: failing(change, kind),
  }));
  const files = {
    name: text("backends.file_server"),
    seconds: view.fileServerRate(change, "seconds"),
    calls: view.fileServerRate(change, "calls"),
    failures: status.file_server.failures,
    failing: view.fileServerRate(change, "failures") > 0,
  };
  return [...kinds, files];
}

function failing(change, kind) {
  const failures = (snapshot) => snapshot.pools.filter((pool) => pool.kind === kind).reduce((sum, pool) => sum + failuresOf(pool), 0);
  return change !== null && change.growth(failures) > 0;
}

export const POOL_COLUMNS = [
  { text: "pools.name", kind: "text", value: (row) => row.pool.name },
  {
    text: "pools.state",
    kind: "text",
    value: (row) => text(row.pool.works ? "pools.works" : "pools.broken"),
    level: (row) => (row.pool.works ? "good" : "bad"),
  },
  { text: "pools.server", kind: "text", value: (row) => row.pool.server },
  {
    text: "pools.in_use",
    kind: "number",
    value: ({ pool }) => `${count(pool.in_use)} / ${count(pool.idle)} / ${count(pool.limit)}`,
    fill: ({ pool }) => ratio(pool.in_use, pool.limit) ?? 0,
    level: ({ pool }) => levelOf(pool.in_use, pool.limit),
  },
  { text: "pools.waiting", kind: "number", value: (row) => count(row.pool.waiting), level: (row) => (row.pool.waiting > 0 ? "warn" : "") },
  { text: "pools.waits", kind: "number", value: (row) => rate(row.waits) },
  { text: "pools.wait", kind: "number", value: (row) => duration(row.waits === 0 ? 0 : ratio(row.waitSeconds, row.waits)) },
  { text: "pools.calls", kind: "number", value: (row) => rate(row.calls) },
  { text: "pools.mean", kind: "number", value: (row) => duration(ratio(row.seconds, row.calls)) },
  { text: "pools.connects", kind: "number", value: (row) => count(row.pool.connects) },
  { text: "pools.failures", kind: "text", value: (row) => failureText(row.pool), level: (row) => (row.failing ? "warn" : "") },
  { text: "pools.last_failure", kind: "wide", value: (row) => row.pool.last_failure ?? NONE },
];

export function poolRows({ change, status }) {
  return status.pools.map((pool) => {
    const same = (snapshot) => snapshot.pools.find((other) => other.kind === pool.kind && other.name === pool.name);
    const grown = (field) => (change === null ? null : change.rate((snapshot) => same(snapshot)?.[field]));
    const failing = change !== null && change.growth((snapshot) => (same(snapshot) ? failuresOf(same(snapshot)) : 0)) > 0;
    return { pool, failing, waits: grown("waits"), waitSeconds: grown("wait_seconds"), calls: grown("calls"), seconds: grown("seconds") };
  });
}

const FAILURES = ["connect", "timeout", "lost", "refused", "no_connection"];

function failureText(pool) {
  const parts = FAILURES.filter((kind) => pool.failures[kind] > 0).map((kind) =>
    text(`failures.${kind}`, { n: count(pool.failures[kind]) }),
  );
  return parts.length > 0 ? parts.join(", ") : "0";
}

export const SLOW_COLUMNS = [
  { text: "slow.time", kind: "moment", value: (row) => moment(row.time) },
  { text: "slow.command", kind: "text", value: (row) => shortName(row.command) },
  { text: "slow.waited", kind: "number", value: (row) => duration(row.waited) },
  { text: "slow.worked", kind: "number", value: (row) => duration(row.worked) },
  { text: "slow.mysql", kind: "number", value: (row) => duration(row.mysql) },
  { text: "slow.redis", kind: "number", value: (row) => duration(row.redis) },
  { text: "slow.file_server", kind: "number", value: (row) => duration(row.file_server) },
  { text: "slow.statement", kind: "text", value: (row) => row.statement || NONE },
  { text: "slow.batch", kind: "number", value: (row) => count(row.batch) },
  { text: "slow.user", kind: "number", value: (row) => row.user_id ?? NONE },
  { text: "slow.peer", kind: "text", value: (row) => row.peer },
  { text: "slow.uuid", kind: "number", value: (row) => row.uuid },
];

export const WARNING_COLUMNS = [
  { text: "warnings.time", kind: "moment", value: (row) => moment(row.time) },
  { text: "warnings.level", kind: "text", value: (row) => row.level, level: (row) => (row.level === "warning" ? "warn" : "bad") },
  { text: "warnings.text", kind: "wide", value: (row) => row.text },
];

/** Newest first. */
export const newest = (rows) => [...rows].reverse();
