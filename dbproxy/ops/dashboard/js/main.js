// The page: polls /status.json, hands what comes to its parts, and says so when nothing comes.

import { failure as failureOf, Poller } from "./api.js";
import { Chart } from "./charts.js";
import { Connections } from "./connections.js";
import { BACKGROUND, CONNECTION_FACTS, Facts, QUEUE_FACTS, TILES } from "./facts.js";
import { Flow } from "./flow.js";
import { age, count, decimal, duration, moment, rate } from "./format.js";
import { chooseLanguage, currentLanguage, languageTag, text, translate } from "./i18n.js";
import * as lists from "./lists.js";
import { remember, remembered } from "./preferences.js";
import { History, WINDOWS } from "./rates.js";
import { Table } from "./tables.js";
import { OUTCOMES, View } from "./view.js";

const STALE = 3000; // milliseconds after which numbers are no longer of this moment
const SORTS = lists.COMMAND_COLUMNS.map((column) => column.sort).filter(Boolean);
const byId = (id) => document.getElementById(id);

const history = new History();
let windowSeconds = Number(remembered("window", WINDOWS.map(String), "60"));
let commandSort = remembered("commands.sort", SORTS, "answered");
let view = null;
let answered = null; // when the last answer came, milliseconds of performance.now()
let failure = null; // { reason, detail, next } since the proxy does not answer
let firstVersion = null;

document.documentElement.lang = languageTag();
translate(document);

const tiles = new Facts(byId("tiles"), TILES);
const facts = [
  tiles,
  new Facts(byId("queue-facts"), QUEUE_FACTS),
  new Facts(byId("connection-facts"), CONNECTION_FACTS),
  new Facts(byId("background"), BACKGROUND),
];
const charts = {
  requests: new Chart(
    byId("chart-requests"),
    [
      { text: "outcome.answered", color: "--line-1" },
      { text: "outcome.refused", color: "--line-3" },
      { text: "outcome.dropped", color: "--line-4" },
      { text: "outcome.unreadable", color: "--line-5" },
    ],
    rate,
  ),
  times: new Chart(
    byId("chart-times"),
    [
      { text: "chart.p50.waiting", color: "--line-2", dash: [4, 3] },
      { text: "chart.p99.waiting", color: "--line-2" },
      { text: "chart.p50.working", color: "--line-1", dash: [4, 3] },
      { text: "chart.p99.working", color: "--line-1" },
    ],
    duration,
  ),
  queue: new Chart(
    byId("chart-queue"),
    [
      { text: "chart.waiting", color: "--line-3" },
      { text: "chart.busy", color: "--line-1" },
    ],
    count,
    { whole: true },
  ),
  backends: new Chart(
    byId("chart-backends"),
    [
      { text: "chart.mysql", color: "--line-1" },
      { text: "chart.redis", color: "--line-4" },
      { text: "chart.file_server", color: "--line-2" },
    ],
    decimal,
  ),
};
const flow = new Flow(byId("flow"));
const connections = new Connections(byId("connections-section"));
const commands = new Table(byId("commands"), lists.COMMAND_COLUMNS, { empty: "commands.none", onSort: sortCommands });
const tables = [
  [commands, () => lists.commandRows(view, commandSort, byId("all-commands").checked)],
  [new Table(byId("queues"), lists.QUEUE_COLUMNS, { empty: "queues.none" }), () => lists.queueRows(view)],
  [new Table(byId("backends"), lists.BACKEND_COLUMNS), () => lists.backendRows(view)],
  [new Table(byId("pools"), lists.POOL_COLUMNS), () => lists.poolRows(view)],
  [new Table(byId("slow"), lists.SLOW_COLUMNS, { empty: "slow.none" }), () => lists.newest(view.status.slow)],
  [new Table(byId("warnings"), lists.WARNING_COLUMNS, { empty: "warnings.none" }), () => lists.newest(view.status.log.warnings)],
];

function onAnswer(status) {
  if (status?.bounds?.seconds === undefined) throw failureOf("content"); // another program listens there
  history.add(status);
  view = new View(status, history, windowSeconds);
  answered = performance.now();
  failure = null;
  firstVersion ??= status.version;
  drawCharts();
  draw();
}

function onFailure({ reason = "page", detail = "" }, pause) {
  failure = { reason, detail, next: performance.now() + pause };
  drawFreshness();
}

function drawCharts() {
  const { status, moment: recent } = view;
  // the time of the proxy, without the jumps of its clock
  const now = status.started + status.uptime;
  const quantile = (phase, fraction) => {
    const value = view.quantile(view.recent, phase, fraction);
    return value === Infinity ? view.bounds.at(-1) : value;
  };
  charts.requests.push(
    now,
    OUTCOMES.map((outcome) => view.outcomeRate(recent, outcome)),
  );
  charts.times.push(now, [quantile("waiting", 0.5), quantile("waiting", 0.99), quantile("working", 0.5), quantile("working", 0.99)]);
  charts.queue.push(now, [status.queues.waiting, status.workers.busy]);
  charts.backends.push(now, [
    view.poolRate(recent, "mysql", "seconds"),
    view.poolRate(recent, "redis", "seconds"),
    view.fileServerRate(recent, "seconds"),
  ]);
}

/** Write everything that depends on the latest status; on what is not of this moment nothing depends. */
function draw() {
  drawFreshness();
  if (view === null || isStale()) return;
  for (const list of facts) list.show(view);
  flow.show(view);
  for (const [table, rows] of tables) table.show(rows());
  commands.markSorted(commandSort, commandSort === "name" ? "ascending" : "descending");
  drawHeader();
}

function drawHeader() {
  const { status } = view;
  byId("version").textContent = status.version;
  badge("state", text(`state.${status.state}`), status.state === "serving" ? "good" : "warn");
  badge("ready", text(status.ready ? "ready.yes" : "ready.no"), status.ready ? "good" : "bad");
  byId("facts").textContent = text("header.facts", { uptime: age(status.uptime), pid: status.pid, listen: status.listen.join(", ") });
  byId("upgraded").hidden = status.version === firstVersion;
  const reasons = byId("reasons");
  reasons.hidden = status.reasons.length === 0;
  writeReasons(reasons.querySelector("ul"), status.reasons);
}

function writeReasons(list, reasons) {
  // written only when it differs: screen readers read out every change
  if ([...list.children].map((entry) => entry.textContent).join("\n") === reasons.join("\n")) return;
  list.replaceChildren(
    ...reasons.map((reason) => {
      const entry = document.createElement("li");
      entry.textContent = reason;
      return entry;
    }),
  );
}

function badge(id, words, level) {
  const element = byId(id);
  if (element.textContent !== words) element.textContent = words;
  element.dataset.level = level;
}

const isStale = () => failure !== null || answered === null || performance.now() - answered > STALE;

/** Say whether the numbers are of this moment; those that are not disappear, or are shown as old. */
function drawFreshness() {
  const stale = isStale();
  document.body.classList.toggle("stale", stale && answered !== null);
  const notice = byId("unreachable");
  notice.hidden = failure === null;
  if (!stale) return;
  for (const list of facts) list.fade();
  for (const chart of Object.values(charts)) chart.fade();
  flow.fade();
  byId("ready").textContent = "";
  badge("state", text(failure === null ? "state.asking" : "state.unreachable"), failure === null ? "" : "bad");
  if (failure === null) return;
  const what = text(`failure.${failure.reason}`, { detail: failure.detail });
  if (byId("unreachable-what").textContent !== what) byId("unreachable-what").textContent = what;
  const since = answered === null ? "" : text("failure.old", { time: moment((Date.now() - (performance.now() - answered)) / 1000) });
  byId("unreachable-age").textContent = since;
  byId("try-in").textContent = text("failure.next", { n: Math.max(0, Math.ceil((failure.next - performance.now()) / 1000)) });
}

function sortCommands(sort) {
  commandSort = sort;
  remember("commands.sort", sort);
  draw();
}

/** Write every text anew, in the language that is chosen. */
function relabel() {
  document.documentElement.lang = languageTag();
  translate(document);
  labelWindows();
  for (const part of [...facts, ...Object.values(charts), flow, connections, ...tables.map(([table]) => table)]) part.relabel();
  draw();
}

function labelWindows() {
  [...byId("window").options].forEach((option, index) => (option.textContent = age(WINDOWS[index]).replace(/ 0\D*$/, "")));
}

function setUpChoices() {
  const range = byId("window");
  range.append(...WINDOWS.map((seconds) => new Option("", String(seconds), false, seconds === windowSeconds)));
  labelWindows();
  range.addEventListener("change", () => {
    windowSeconds = Number(range.value);
    remember("window", range.value);
    if (view !== null) view = new View(view.status, history, windowSeconds);
    draw();
  });
  const theme = byId("theme");
  theme.value = document.documentElement.dataset.theme ?? "auto";
  theme.addEventListener("change", () => {
    remember("theme", theme.value);
    if (theme.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
    for (const chart of Object.values(charts)) chart.recolor();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of Object.values(charts)) chart.recolor();
  });
  const language = byId("language");
  language.value = currentLanguage();
  language.addEventListener("change", () => {
    chooseLanguage(language.value);
    relabel();
  });
  byId("all-commands").addEventListener("change", draw);
  byId("reload").addEventListener("click", () => location.reload());
}

setUpChoices();
const poller = new Poller(() => "status.json", onAnswer, onFailure);
byId("try-now").addEventListener("click", () => poller.now());
// nothing comes while a request hangs: the age of what is shown has to be looked at too
setInterval(drawFreshness, 500);
document.addEventListener("visibilitychange", drawFreshness);
drawFreshness();
poller.wanted = true;
