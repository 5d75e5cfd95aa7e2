// Asking the proxy: one request at a time, once a second, only while somebody can see the answer.

const ANSWER_SECONDS = 4;
const INTERVAL = 1000;
const LONGEST_PAUSE = 10000;

/** An Error that says why there is no answer: `reason` is "network", "timeout", "status" or "content". */
export function failure(reason, detail = "") {
  return Object.assign(new Error(`${reason} ${detail}`), { reason, detail });
}

/** The JSON at an address beside the page; throws a failure(). */
export async function getJson(path) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_SECONDS * 1000) });
  } catch (error) {
    throw failure(error.name === "TimeoutError" ? "timeout" : "network");
  }
  if (!response.ok) throw failure("status", String(response.status));
  try {
    return await response.json();
  } catch (error) {
    throw failure(error.name === "TimeoutError" ? "timeout" : "content");
  }
}

/**
 * Asks again and again while it is wanted and the page is visible. After a failure the pause grows from 1 s to 10 s.
 * `path()` is the address, `onAnswer(data)` gets what came, `onFailure(error, pause)` the reason and the milliseconds to the next try.
 */
export class Poller {
  #path;
  #onAnswer;
  #onFailure;
  #wanted = false;
  #timer = 0;
  #asking = false;
  #again = false;
  #pause = INTERVAL;

  constructor(path, onAnswer, onFailure) {
    this.#path = path;
    this.#onAnswer = onAnswer;
    this.#onFailure = onFailure;
    document.addEventListener("visibilitychange", () => this.now());
  }

  /** Whether answers are wanted at all; a change takes effect at once. */
  set wanted(value) {
    if (value === this.#wanted) return;
    this.#wanted = value;
    this.now();
  }

  /** Ask at once, without waiting for the next turn. While a request is under way, another one follows it. */
  now() {
    clearTimeout(this.#timer);
    if (!this.#wanted || document.hidden) return;
    if (this.#asking) this.#again = true;
    else this.#ask();
  }

  async #ask() {
    const begin = performance.now();
    let next = INTERVAL;
    this.#asking = true;
    try {
      const data = await getJson(this.#path());
      this.#pause = INTERVAL;
      this.#onAnswer(data);
      next = Math.max(0, INTERVAL - (performance.now() - begin));
    } catch (error) {
      if (error.reason === undefined) console.error(error); // a mistake of ours in drawing; it must not end the polling
      next = this.#pause;
      this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
      this.#onFailure(error, next);
    } finally {
      this.#asking = false;
    }
    if (this.#again) {
      this.#again = false;
      this.now();
    } else if (this.#wanted && !document.hidden) {
      this.#timer = setTimeout(() => this.now(), next);
    }
  }
}
