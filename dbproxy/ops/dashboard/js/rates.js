// Rates and quantiles. The proxy sends cumulative counters and histograms; everything per second or "of the last minute" is the
// difference of two of its snapshots, which are kept here, bounded in number and in age.

/** Windows, in seconds, that the page offers. */
export const WINDOWS = [10, 60, 300];

const LONGEST = Math.max(...WINDOWS);
// one a second, and some more because a reader may ask for further ones
const MOST_SNAPSHOTS = LONGEST * 2;

/** What differences are made of; texts and lists are not kept. */
function countersOf(status) {
  const { pid, started, uptime, requests, batches, connections, pools, file_server } = status;
  return { pid, started, uptime, requests, sizes: batches.sizes, connections, pools, file_server };
}

/** The snapshots of the last five minutes of one process. */
export class History {
  #snapshots = [];

  get length() {
    return this.#snapshots.length;
  }

  /** Keep the counters of a status. Returns whether it is from another process than the one before: that one's counters say nothing. */
  add(status) {
    const last = this.#snapshots.at(-1);
    const other = last !== undefined && (last.pid !== status.pid || last.started !== status.started);
    if (other) this.#snapshots = [];
    // the uptime and not the time, which somebody may set back
    else if (last !== undefined && status.uptime <= last.uptime) this.#snapshots.pop();
    this.#snapshots.push(countersOf(status));
    // the first one that is kept is as old as the longest window, or older
    const begin = status.uptime - LONGEST;
    while (this.#snapshots.length > MOST_SNAPSHOTS || (this.#snapshots.length > 2 && this.#snapshots[1].uptime <= begin)) {
      this.#snapshots.shift();
    }
    return other;
  }

  /** The Change of the last so many seconds, or of what there is when that is less; null before there are two snapshots. */
  over(seconds) {
    const after = this.#snapshots.at(-1);
    if (this.#snapshots.length < 2) return null;
    let first = this.#snapshots.length - 2;
    while (first > 0 && after.uptime - this.#snapshots[first].uptime < seconds - 0.5) first--;
    return new Change(this.#snapshots[first], after);
  }
}

/** The difference of two snapshots of one process. */
export class Change {
  constructor(before, after) {
    this.before = before;
    this.after = after;
    this.seconds = after.uptime - before.uptime;
  }

  /** By how much a counter grew; `read` gets a snapshot and may return undefined for what is not there yet. */
  growth(read) {
    return (read(this.after) ?? 0) - (read(this.before) ?? 0);
  }

  /** The same per second. */
  rate(read) {
    return this.growth(read) / this.seconds;
  }

  /** The histogram of what was counted in between. */
  histogram(read) {
    return subtract(read(this.after), read(this.before));
  }
}

function subtract(after, before) {
  if (after === undefined) return { count: 0, sum: 0, buckets: [] };
  if (before === undefined) return after;
  return {
    count: after.count - before.count,
    sum: after.sum - before.sum,
    buckets: after.buckets.map((value, index) => value - before.buckets[index]),
  };
}

/** One histogram of several with the same bounds. */
export function total(histograms) {
  const sum = { count: 0, sum: 0, buckets: [] };
  for (const { count, sum: value, buckets } of histograms) {
    sum.count += count;
    sum.sum += value;
    buckets.forEach((number, index) => (sum.buckets[index] = (sum.buckets[index] ?? 0) + number));
  }
  return sum;
}

/**
 * The quantile (0..1) of a histogram, interpolated within its bucket as Prometheus does it.
 * Null when nothing was counted, Infinity when it is above the last bound.
 */
export function quantile(bounds, { buckets }, fraction) {
  const all = buckets.reduce((sum, number) => sum + number, 0);
  if (all <= 0) return null;
  const rank = fraction * all;
  let below = 0;
  for (let index = 0; index < bounds.length; index++) {
    const here = buckets[index];
    if (here > 0 && below + here >= rank) {
      const lower = index === 0 ? 0 : bounds[index - 1];
      return lower + (bounds[index] - lower) * ((rank - below) / here);
    }
    below += here;
  }
  return Infinity;
}

/** The mean of a histogram; null when nothing was counted. */
export function mean({ count, sum }) {
  return count > 0 ? sum / count : null;
}
