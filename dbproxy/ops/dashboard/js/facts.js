// Lists of names and numbers: the tiles at the top, and the short lists of queues, connections and what runs in the background.

import { age, byteRate, bytes, count, decimal, duration, NONE, ofLimit, quantileDuration, rate } from "./format.js";
import { text } from "./i18n.js";
import { levelOf, OUTCOMES } from "./view.js";

/** A `<dl>` of entries `{ text, value(view), detail(view), level(view) }`; the last two may be missing. */
export class Facts {
  #entries = [];

  constructor(list, entries) {
    this.entries = entries;
    for (const entry of entries) {
      const group = document.createElement("div");
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      group.append(term, value);
      let detail = null;
      if (entry.detail) {
        detail = document.createElement("dd");
        detail.className = "detail";
        group.append(detail);
      }
      list.append(group);
      this.#entries.push({ group, term, value, detail });
    }
    this.relabel();
    this.fade();
  }

  relabel() {
    this.#entries.forEach(({ term }, index) => (term.textContent = text(this.entries[index].text)));
  }

  show(view) {
    this.#entries.forEach(({ group, value, detail }, index) => {
      const entry = this.entries[index];
      value.textContent = entry.value(view);
      if (detail !== null) detail.textContent = entry.detail(view);
      group.dataset.level = entry.level?.(view) ?? "";
    });
  }

  /** No value is known. */
  fade() {
    for (const { group, value, detail } of this.#entries) {
      value.textContent = NONE;
      if (detail !== null) detail.textContent = "\u00a0";
      group.dataset.level = "";
    }
  }
}

const failed = OUTCOMES.filter((outcome) => outcome !== "answered");

function failedRate(view) {
  return view.change === null ? null : failed.reduce((sum, outcome) => sum + view.outcomeRate(view.change, outcome), 0);
}

/** The numbers that are looked at first. */
export const TILES = [
  {
    text: "tile.answered",
    value: (view) => rate(view.outcomeRate(view.change, "answered")),
    detail: (view) => text("tile.answered.detail", { n: rate(view.connectionRate(view.change, "pdus_in")) }),
  },
  {
    text: "tile.failed",
    value: (view) => rate(failedRate(view)),
    detail: (view) => text("tile.failed.detail", { n: count(failed.reduce((sum, outcome) => sum + view.outcomeTotal(outcome), 0)) }),
    level: (view) => (failedRate(view) > 0 ? "warn" : ""),
  },
  {
    text: "tile.times",
    value: (view) => quantileDuration(view.quantile(view.change, "working", 0.99), view.bounds),
    detail: (view) => text("tile.times.detail", { time: quantileDuration(view.quantile(view.change, "waiting", 0.99), view.bounds) }),
  },
  {
    text: "tile.waiting",
    value: (view) => count(view.status.queues.waiting),
    detail: (view) => text("tile.waiting.detail", { time: duration(view.status.queues.oldest) }),
    level: ({ status: { queues } }) => levelOf(queues.waiting, queues.limit),
  },
  {
    text: "tile.workers",
    value: ({ status: { workers } }) => ofLimit(workers.busy, workers.threads),
    detail: (view) => text("tile.workers.detail", { n: decimal(view.batchSize(view.change)) }),
    level: ({ status: { workers } }) => (workers.busy >= workers.threads ? "warn" : ""),
  },
  {
    text: "tile.connections",
    value: (view) => count(view.status.connections.open),
    detail: ({ status }) =>
      text(status.connections.reading_paused ? "tile.connections.paused" : "tile.connections.detail", {
        n: count(status.connections.limit),
      }),
    level: ({ status: { connections } }) => (connections.reading_paused ? "bad" : levelOf(connections.open, connections.limit)),
  },
  {
    text: "tile.traffic",
    value: (view) => byteRate(view.connectionRate(view.change, "bytes_out")),
    detail: (view) => text("tile.traffic.detail", { size: byteRate(view.connectionRate(view.change, "bytes_in")) }),
  },
  {
    text: "tile.unsent",
    value: (view) => bytes(view.status.responses.unsent_bytes),
    detail: (view) => text("tile.unsent.detail", { size: bytes(view.status.responses.limit_bytes) }),
    level: ({ status: { responses } }) => levelOf(responses.unsent_bytes, responses.limit_bytes),
  },
];

/** What waits, beside the table by queue. */
export const QUEUE_FACTS = [
  {
    text: "queues.waiting",
    value: ({ status: { queues } }) => ofLimit(queues.waiting, queues.limit),
    level: ({ status: { queues } }) => levelOf(queues.waiting, queues.limit),
  },
  {
    text: "queues.bytes",
    value: ({ status: { queues } }) => `${bytes(queues.waiting_bytes)} / ${bytes(queues.limit_bytes)}`,
    level: ({ status: { queues } }) => levelOf(queues.waiting_bytes, queues.limit_bytes),
  },
  { text: "queues.oldest", value: (view) => duration(view.status.queues.oldest) },
  { text: "queues.held", value: ({ status: { queues } }) => `${count(queues.held)} (${bytes(queues.held_bytes)})` },
  { text: "queues.workers", value: ({ status: { workers } }) => ofLimit(workers.busy, workers.threads) },
  { text: "queues.batches", value: (view) => count(view.status.batches.active) },
  { text: "queues.batch", value: (view) => decimal(view.batchSize(view.change)) },
];

/** All connections together, beside the table of single ones. */
export const CONNECTION_FACTS = [
  { text: "connections.open", value: ({ status: { connections } }) => ofLimit(connections.open, connections.limit) },
  { text: "connections.in", value: (view) => byteRate(view.connectionRate(view.change, "bytes_in")) },
  { text: "connections.out", value: (view) => byteRate(view.connectionRate(view.change, "bytes_out")) },
  {
    text: "connections.pdus",
    value: (view) => `${rate(view.connectionRate(view.change, "pdus_in"))} / ${rate(view.connectionRate(view.change, "pdus_out"))}`,
  },
  { text: "connections.backlog", value: (view) => bytes(view.status.connections.backlog_bytes) },
  { text: "connections.pending", value: (view) => bytes(view.status.connections.pending_bytes) },
  { text: "connections.accepted", value: ({ status: { connections } }) => `${count(connections.accepted)} / ${count(connections.closed)}` },
  { text: "connections.refused", value: (view) => count(view.status.connections.refused) },
  {
    text: "connections.pauses",
    value: (view) => count(view.status.connections.pauses),
    level: (view) => (view.status.connections.reading_paused ? "bad" : ""),
  },
];

/** What runs beside the requests. */
export const BACKGROUND = [
  {
    text: "background.reactor",
    value: (view) => duration(view.status.reactor.last_turn_age),
    level: (view) => (view.status.reactor.last_turn_age > 2 ? "bad" : ""),
  },
  { text: "background.sync", value: (view) => age(view.status.group_sync.lag) },
  { text: "background.sync.failures", value: (view) => count(view.status.group_sync.failures) },
  { text: "background.replication", value: (view) => duration(view.status.replication.lag) },
  { text: "background.ids", value: (view) => count(view.status.recoveries.ids) },
  { text: "background.members", value: (view) => count(view.status.recoveries.members) },
  { text: "background.counters", value: (view) => count(view.status.recoveries.counters) },
  {
    text: "background.dropped",
    value: (view) => count(view.status.log.dropped),
    level: (view) => (view.status.log.dropped > 0 ? "warn" : ""),
  },
];
