// What the parts of the page are drawn from: the latest status, and what has changed in the chosen window.

import { mean, quantile, total } from "./rates.js";

/** Outcomes of a request, in the order in which they are shown. */
export const OUTCOMES = ["answered", "refused", "dropped", "unreadable"];

const FLOW_SECONDS = 3; // what "this moment" means
const CHART_SECONDS = 10; // quantiles of one second would jump

/** One status with the history that it was added to. `change`, `moment` and `recent` are null until there are two snapshots. */
export class View {
  constructor(status, history, window) {
    this.status = status;
    this.bounds = status.bounds.seconds;
    this.window = window;
    this.change = history.over(window);
    this.moment = history.over(FLOW_SECONDS);
    this.recent = history.over(CHART_SECONDS);
  }

  /** Names of the commands that the proxy has counted. */
  get commands() {
    return Object.keys(this.status.requests);
  }

  /** Requests per second that had an outcome, of all commands; null when it is not known yet. */
  outcomeRate(change, outcome) {
    if (change === null) return null;
    return this.commands.reduce((sum, name) => sum + change.rate((snapshot) => snapshot.requests[name]?.[outcome]), 0);
  }

  /** Requests that had an outcome since the proxy started, of all commands. */
  outcomeTotal(outcome) {
    return this.commands.reduce((sum, name) => sum + this.status.requests[name][outcome], 0);
  }

  /** A quantile of the phase "waiting" or "working" in seconds, of one command or of all. */
  quantile(change, phase, fraction, names = this.commands) {
    if (change === null) return null;
    const histograms = names.map((name) => change.histogram((snapshot) => snapshot.requests[name]?.[phase]));
    return quantile(this.bounds, total(histograms), fraction);
  }

  /** Mean number of requests in a batch. */
  batchSize(change) {
    return change === null ? null : mean(change.histogram((snapshot) => snapshot.sizes));
  }

  connectionRate(change, field) {
    return change === null ? null : change.rate((snapshot) => snapshot.connections[field]);
  }

  /** Growth per second of a counter of the pools of one kind, together. */
  poolRate(change, kind, field) {
    if (change === null) return null;
    const sum = (snapshot) => snapshot.pools.filter((pool) => pool.kind === kind).reduce((all, pool) => all + pool[field], 0);
    return change.rate(sum);
  }

  /** The sum of a number of the pools of one kind, at this moment. */
  poolSum(kind, field) {
    return this.status.pools.filter((pool) => pool.kind === kind).reduce((all, pool) => all + pool[field], 0);
  }

  fileServerRate(change, field) {
    return change === null ? null : change.rate((snapshot) => snapshot.file_server[field]);
  }
}

/** How a number stands to its limit: "bad" when it has reached it, "warn" from 80 % on. */
export function levelOf(used, limit) {
  if (limit <= 0 || used < limit * 0.8) return "";
  return used >= limit ? "bad" : "warn";
}

/** Failures of a pool by kind as one number. */
export function failuresOf(pool) {
  return Object.values(pool.failures).reduce((sum, number) => sum + number, 0);
}
