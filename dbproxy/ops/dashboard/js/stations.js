// The stations of a request: what they are called, where they are drawn, and which number belongs there. Explanations are in the texts.

import { byteRate, bytes, count, decimal, duration, NONE, quantileDuration, rate } from "./format.js";
import { text } from "./i18n.js";
import { levelOf } from "./view.js";

/**
 * `name` is the class in the source and `file` where it is; `wide` and `narrow` are [x, y, width, height] in the two layouts.
 * `lines(view)` are the number of this moment and one or more lines below it, `level(view)` is "", "warn" or "bad".
 */
export const STATIONS = [
  {
    id: "conn",
    name: "ProxyConn",
    file: "net/proxy_conn.py",
    wide: [16, 52, 136, 232],
    narrow: [10, 6, 340, 116],
    lines: ({ status, moment }) => [
      count(status.connections.open),
      text("flow.open"),
      text("flow.in", { rate: byteRate(rateOf(moment, "bytes_in")) }),
      text("flow.out", { rate: byteRate(rateOf(moment, "bytes_out")) }),
    ],
    level: ({ status: { connections } }) => (connections.reading_paused ? "bad" : levelOf(connections.open, connections.limit)),
  },
  {
    id: "framer",
    name: "Framer",
    file: "wire/pdu.py",
    wide: [196, 52, 130, 88],
    narrow: [10, 152, 160, 84],
    lines: ({ moment }) => [rate(rateOf(moment, "pdus_in")), text("flow.pdus")],
  },
  {
    id: "dispatcher",
    name: "Dispatcher",
    file: "work/dispatcher.py",
    wide: [366, 52, 130, 88],
    narrow: [10, 258, 160, 84],
    lines: (view) => [rate(allOutcomes(view)), text("flow.requests")],
  },
  {
    id: "queues",
    name: "RequestQueues",
    file: "work/request_queues.py",
    wide: [548, 52, 140, 88],
    narrow: [10, 364, 160, 84],
    lines: ({ status: { queues } }) => [count(queues.waiting), text("flow.waiting", { time: duration(queues.oldest) })],
    level: ({ status: { queues } }) => levelOf(queues.waiting, queues.limit),
  },
  {
    id: "worker",
    name: "WorkerThread",
    file: "work/worker_thread.py",
    wide: [738, 52, 130, 88],
    narrow: [10, 470, 160, 84],
    lines: ({ status: { workers } }) => [count(workers.busy), text("flow.busy", { n: count(workers.threads) })],
    level: ({ status: { workers } }) => (workers.busy >= workers.threads ? "warn" : ""),
  },
  {
    id: "executor",
    name: "BatchExecutor",
    file: "work/batch_executor.py",
    wide: [908, 52, 140, 88],
    narrow: [10, 576, 160, 84],
    lines: (view) => [count(view.status.batches.active), text("flow.batches", { n: decimal(view.batchSize(view.moment)) })],
  },
  {
    id: "handler",
    name: "handler",
    file: "work/handler_map.py",
    wide: [908, 196, 140, 88],
    narrow: [10, 682, 160, 84],
    lines: (view) => [quantileDuration(view.quantile(view.recent, "working", 0.5), view.bounds), text("flow.working")],
  },
  pool("db", "DBPool", "mysql", "stores/mysql/pool.py", [1098, 36, 140, 84], [190, 576, 160, 84]),
  pool("cache", "CachePool", "redis", "stores/redis/pool.py", [1098, 126, 140, 84], [190, 682, 160, 84]),
  {
    id: "files",
    name: "FileServer",
    file: "stores/file_server.py",
    wide: [1098, 216, 140, 84],
    narrow: [190, 788, 160, 84],
    lines: (view) => [rate(view.fileServerRate(view.moment, "calls")), text("flow.transfers")],
  },
  {
    id: "deque",
    name: "ResponseDeque",
    file: "work/response_deque.py",
    wide: [548, 196, 140, 88],
    narrow: [190, 258, 160, 84],
    lines: ({ status: { responses } }) => [bytes(responses.unsent_bytes), text("flow.unsent")],
    level: ({ status: { responses } }) => levelOf(responses.unsent_bytes, responses.limit_bytes),
  },
  {
    id: "sender",
    name: "ProxyServer",
    file: "net/proxy_server.py",
    wide: [281, 196, 130, 88],
    narrow: [190, 152, 160, 84],
    lines: ({ moment }) => [rate(rateOf(moment, "pdus_out")), text("flow.replies")],
  },
];

function pool(id, name, kind, file, wide, narrow) {
  return {
    id,
    name,
    file,
    wide,
    narrow,
    lines: (view) => {
      const calls = view.poolRate(view.moment, kind, "calls");
      const each = calls > 0 ? view.poolRate(view.moment, kind, "seconds") / calls : null;
      return [
        text("flow.in_use", { n: count(view.poolSum(kind, "in_use")) }),
        text("flow.calls", { rate: rate(calls), time: duration(each) }),
      ];
    },
    level: (view) => {
      if (view.status.pools.some((each) => each.kind === kind && !each.works)) return "bad";
      return view.poolSum(kind, "waiting") > 0 ? "warn" : "";
    },
  };
}

const rateOf = (change, field) => (change === null ? null : change.rate((snapshot) => snapshot.connections[field]));

function allOutcomes(view) {
  if (view.moment === null) return null;
  return ["answered", "refused", "dropped", "unreadable"].reduce((sum, outcome) => sum + view.outcomeRate(view.moment, outcome), 0);
}

/** The numbers of a station before anything is known. */
export const unknown = (station) => [NONE, ...Array(station.id === "conn" ? 3 : 1).fill("")];

/** Ways between stations: a path in each layout, and how much moves there per second (null when it is not known). */
export const WAYS = [
  { wide: "M152 96H192", narrow: "M90 122V148", flow: ({ moment }) => rateOf(moment, "pdus_in") },
  { wide: "M326 96H362", narrow: "M90 236V254", flow: ({ moment }) => rateOf(moment, "pdus_in") },
  { wide: "M496 96H544", narrow: "M90 342V360", flow: allOutcomes },
  { wide: "M688 96H734", narrow: "M90 448V466", flow: allOutcomes },
  { wide: "M868 96H904", narrow: "M90 554V572", flow: allOutcomes },
  { wide: "M978 140V192", narrow: "M90 660V678", flow: allOutcomes },
  { wide: "M1048 224H1072V78H1094", narrow: "M170 712H180V618H186", flow: (view) => view.poolRate(view.moment, "mysql", "calls") },
  { wide: "M1048 240H1080V168H1094", narrow: "M170 724H186", flow: (view) => view.poolRate(view.moment, "redis", "calls") },
  { wide: "M1048 258H1094", narrow: "M170 736H180V830H186", flow: (view) => view.fileServerRate(view.moment, "calls") },
  { wide: "M803 140V240H692", narrow: "M170 512H270V346", flow: ({ moment }) => rateOf(moment, "pdus_out") },
  { wide: "M548 240H415", narrow: "M270 258V240", flow: ({ moment }) => rateOf(moment, "pdus_out") },
  { wide: "M281 240H156", narrow: "M270 152V126", flow: ({ moment }) => rateOf(moment, "pdus_out") },
];

/** Who owns what: areas behind the stations, [x, y, width, height]. */
export const LANES = [
  { text: "lane.reactor", wide: [4, 8, 506, 290], narrow: null },
  { text: "lane.shared", wide: [522, 8, 192, 290], narrow: null },
  { text: "lane.workers", wide: [726, 8, 334, 290], narrow: null },
];

export const SIZES = { wide: [1250, 312], narrow: [360, 884] };
