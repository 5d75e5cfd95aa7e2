// The table of single connections. The proxy is asked for it only while the table can be seen: it makes the list in its reactor thread.

import { Poller } from "./api.js";
import { age, bytes, count, duration } from "./format.js";
import { text } from "./i18n.js";
import { remember, remembered } from "./preferences.js";
import { Table } from "./tables.js";

const COLUMNS = [
  { text: "connection.peer", kind: "text", value: (row) => row.peer },
  { text: "connection.uuid", kind: "number", value: (row) => row.uuid, sort: "uuid" },
  { text: "connection.age", kind: "number", value: (row) => age(row.age), sort: "age" },
  { text: "connection.idle", kind: "number", value: (row) => duration(row.idle) },
  { text: "connection.pdus_in", kind: "number", value: (row) => count(row.pdus_in), sort: "pdus_in" },
  { text: "connection.pdus_out", kind: "number", value: (row) => count(row.pdus_out) },
  { text: "connection.bytes_in", kind: "number", value: (row) => bytes(row.bytes_in), sort: "bytes_in" },
  { text: "connection.bytes_out", kind: "number", value: (row) => bytes(row.bytes_out) },
  { text: "connection.backlog", kind: "number", value: (row) => bytes(row.backlog), sort: "backlog" },
  { text: "connection.pending", kind: "number", value: (row) => bytes(row.pending), sort: "pending" },
  {
    text: "connection.reading",
    kind: "text",
    value: (row) => text(row.reading ? "connection.yes" : "connection.no"),
    level: (row) => (row.reading ? "" : "warn"),
  },
];
const SORTS = COLUMNS.map((column) => column.sort).filter(Boolean);

export class Connections {
  #sort = remembered("connections.sort", SORTS, "backlog");
  #answer = null;
  #failed = false;

  constructor(section) {
    this.limit = section.querySelector("select");
    this.shown = section.querySelector("[role=status]");
    this.scroll = section.querySelector(".scroll");
    this.table = new Table(section.querySelector("table"), COLUMNS, { empty: "connections.none", onSort: (sort) => this.#sortBy(sort) });
    this.table.markSorted(this.#sort);
    const path = () => `connections.json?sort=${this.#sort}&limit=${this.limit.value}`;
    this.poller = new Poller(
      path,
      (answer) => this.#show(answer),
      () => this.fade(),
    );
    this.limit.addEventListener("change", () => this.poller.now());
    // the table and not the section: its heading alone is no reason to ask
    new IntersectionObserver((entries) => (this.poller.wanted = entries.at(-1).isIntersecting)).observe(this.scroll);
  }

  relabel() {
    this.table.relabel();
    this.table.markSorted(this.#sort);
    if (this.#failed) this.fade();
    else if (this.#answer !== null) this.#show(this.#answer);
  }

  /** What stands in the table is not of this moment. */
  fade() {
    this.#failed = true;
    this.scroll.classList.add("old");
    this.shown.textContent = text("connections.failed");
  }

  #sortBy(sort) {
    this.#sort = sort;
    remember("connections.sort", sort);
    this.table.markSorted(sort);
    this.poller.now();
  }

  #show(answer) {
    this.#answer = answer;
    this.#failed = false;
    // as many as were asked for, whatever comes
    const rows = answer.connections.slice(0, Number(this.limit.value));
    this.table.show(rows);
    this.scroll.classList.remove("old");
    this.shown.textContent = text("connections.shown", { n: count(rows.length), all: count(answer.total) });
  }
}
