// Line charts of the last five minutes, drawn by uPlot (vendor/uplot), which is a classic script and therefore a global.

import { NONE } from "./format.js";
import { text } from "./i18n.js";

const { uPlot } = window;
const SPAN = 300;
// points come once a second; a longer silence is shown as a gap
const GAP = 5;
const WHOLE = [1, 10, 100, 1000, 10000].flatMap((power) => [power, 2 * power, 5 * power]);

/**
 * One chart: lines over time in a figure, with a legend that shows the values under the cursor, or the latest ones.
 * `lines` are `{ text, color, dash }` with the key of a text, the name of a CSS variable and perhaps a dash pattern; `format` makes text
 * of a value. `whole`: values are whole numbers, and so are the marks of the axis.
 */
export class Chart {
  #times = [];
  #values;
  #plot = null;
  #figures = [];

  constructor(figure, lines, format, { whole = false } = {}) {
    this.figure = figure;
    this.lines = lines;
    this.format = format;
    this.whole = whole;
    this.#values = lines.map(() => []);
    this.canvas = figure.querySelector(".canvas");
    this.legend = figure.querySelector(".legend");
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    this.relabel();
  }

  /** Add a point; a value may be null. A point that is much earlier than the last one (the clock was set back) begins a new chart. */
  push(time, values) {
    const last = this.#times.at(-1);
    if (last !== undefined && time <= last) {
      if (last - time < GAP) return;
      this.#clear();
    } else if (last !== undefined && time - last > GAP) {
      const nothing = values.map(() => null);
      this.#append(last + 1, nothing);
    }
    this.#append(time, values);
    while (this.#times[0] < time - SPAN - GAP) {
      this.#times.shift();
      this.#values.forEach((line) => line.shift());
    }
    this.#draw();
  }

  #clear() {
    this.#times = [];
    this.#values = this.lines.map(() => []);
  }

  /** The legend shows no value as the latest one any more. */
  fade() {
    this.#figures.forEach((element) => (element.textContent = NONE));
  }

  /** Write the legend in the language of the page. */
  relabel() {
    this.legend.replaceChildren();
    this.#figures = this.lines.map(({ text: key, color, dash }) => {
      const entry = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = dash ? "dashed swatch" : "swatch";
      swatch.style.setProperty("--swatch", `var(${color})`);
      const label = document.createElement("span");
      label.textContent = text(key);
      const value = document.createElement("span");
      value.className = "value";
      value.textContent = NONE;
      entry.append(swatch, label, value);
      this.legend.append(entry);
      return value;
    });
    this.#show();
  }

  /** Draw again, with the colors of the theme. */
  recolor() {
    this.#plot?.redraw(false, true);
  }

  #append(time, values) {
    this.#times.push(time);
    this.#values.forEach((line, index) => line.push(values[index]));
  }

  #draw() {
    const data = [this.#times, ...this.#values];
    if (this.#plot !== null) this.#plot.setData(data);
    else if (this.canvas.clientWidth > 0) this.#plot = new uPlot(this.#options(), data, this.canvas);
    this.#show();
  }

  #resize() {
    if (this.#plot !== null) this.#plot.setSize({ width: this.canvas.clientWidth, height: this.canvas.clientHeight });
    else if (this.#times.length > 0) this.#draw();
  }

  #show() {
    const index = this.#plot?.cursor.idx ?? this.#times.length - 1;
    this.#figures.forEach((element, line) => {
      const value = this.#values[line][index];
      element.textContent = value === null || value === undefined ? NONE : this.format(value);
    });
  }

  #options() {
    const color = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: color("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false } };
    const grid = { stroke: color("--grid"), width: 1 };
    return {
      width: this.canvas.clientWidth,
      height: this.canvas.clientHeight,
      legend: { show: false },
      padding: [8, 16, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: "dbproxy" } },
      hooks: { setCursor: [() => this.#show()] },
      scales: {
        x: { range: (_, __, newest) => [newest - SPAN, newest] },
        y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
      },
      axes: [
        { ...axis, grid, size: 26, incrs: [60, 120, 300], space: 34, values: (_, times) => times.map(clock) },
        {
          ...axis,
          grid,
          size: 62,
          space: 28,
          incrs: this.whole ? WHOLE : undefined,
          values: (_, values) => values.map((value) => (value === 0 ? "0" : this.format(value))),
        },
      ],
      series: [{}, ...this.lines.map(({ color: name, dash }) => ({ stroke: color(name), width: 1.6, dash, points: { show: false } }))],
    };
  }
}

function clock(seconds) {
  return new Date(seconds * 1000).toTimeString().slice(0, 5);
}
