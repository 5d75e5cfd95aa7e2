// The way of a request as a diagram: stations with the numbers of this moment, and an explanation of the one that is chosen.

import { text } from "./i18n.js";
import { LANES, SIZES, STATIONS, unknown, WAYS } from "./stations.js";

const SVG = "http://www.w3.org/2000/svg";
const LINE = 17;
const DASH = 9; // dash and gap of a way, as in parts.css
const STEPS = 3; // for each of them
const STEP = 200; // milliseconds

function element(name, attributes = {}, content = undefined) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (content !== undefined) made.textContent = content;
  return made;
}

export class Flow {
  #chosen = STATIONS[0];
  #view = null;
  #groups = [];
  #ways = [];

  constructor(section) {
    this.diagram = section.querySelector(".diagram");
    this.explanation = section.querySelector(".explanation");
    this.narrow = window.matchMedia("(max-width: 900px)");
    this.narrow.addEventListener("change", () => this.relabel());
    this.relabel();
    this.#move();
  }

  // Five paints a second show the direction as well as the sixty of a CSS animation do, and cost a tenth of them.
  #move() {
    const still = window.matchMedia("(prefers-reduced-motion: reduce)");
    let step = 0;
    setInterval(() => {
      if (still.matches || document.hidden || this.#view === null) return;
      step = (step + 1) % STEPS;
      this.diagram.style.setProperty("--dashes", String((-step * DASH) / STEPS));
    }, STEP);
  }

  /** Draw everything anew: in another language, or for another width. */
  relabel() {
    const layout = this.narrow.matches ? "narrow" : "wide";
    const [width, height] = SIZES[layout];
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, class: layout, role: "group", "aria-label": text("flow.title") });
    const marker = element("marker", {
      id: "arrow",
      viewBox: "0 0 8 8",
      refX: 5,
      refY: 4,
      markerWidth: 6,
      markerHeight: 6,
      orient: "auto",
    });
    marker.append(element("path", { d: "M0 0 8 4 0 8z" }));
    svg.append(marker);
    for (const { text: key, [layout]: area } of LANES) {
      if (area === null) continue;
      const [x, y, laneWidth, laneHeight] = area;
      svg.append(element("rect", { x, y, width: laneWidth, height: laneHeight, rx: 8, class: "lane" }));
      svg.append(element("text", { x: x + 12, y: y + 24, class: "lane-name" }, text(key)));
    }
    this.#ways = WAYS.map((way) => element("path", { d: way[layout], class: "way", "marker-end": "url(#arrow)" }));
    this.#groups = STATIONS.map((station) => this.#station(station, layout));
    svg.append(...this.#ways, ...this.#groups.map(({ group }) => group));
    this.diagram.replaceChildren(svg);
    this.#explain(this.#chosen);
    if (this.#view === null) this.fade();
    else this.show(this.#view);
  }

  show(view) {
    this.#view = view;
    STATIONS.forEach((station, index) => this.#write(index, station.lines(view), station.level?.(view) ?? ""));
    WAYS.forEach(({ flow }, index) => this.#ways[index].classList.toggle("moving", flow(view) > 0));
  }

  /** No number is known. */
  fade() {
    this.#view = null;
    STATIONS.forEach((station, index) => this.#write(index, unknown(station), ""));
    for (const way of this.#ways) way.classList.remove("moving");
  }

  #write(index, lines, level) {
    const { group, texts } = this.#groups[index];
    texts.forEach((line, number) => (line.textContent = lines[number] ?? ""));
    group.dataset.level = level;
    group.setAttribute("aria-label", `${STATIONS[index].name}: ${lines.filter(Boolean).join(", ")}`);
  }

  #station(station, layout) {
    const [x, y, width, height] = station[layout];
    const group = element("g", { class: "station", tabindex: 0, role: "button" });
    group.append(element("rect", { x, y, width, height, rx: 7 }));
    const middle = x + width / 2;
    const lines = unknown(station).length;
    // title, number and further lines, centred in the box
    const top = y + (height - (22 + 26 + (lines - 1) * LINE)) / 2 + 15;
    group.append(element("text", { x: middle, y: top, class: "name" }, station.name));
    const texts = [element("text", { x: middle, y: top + 28, class: "number" })];
    for (let line = 1; line < lines; line++) texts.push(element("text", { x: middle, y: top + 29 + line * LINE, class: "line" }));
    group.append(...texts);
    group.addEventListener("focus", () => this.#explain(station));
    group.addEventListener("click", () => this.#explain(station));
    group.addEventListener("keydown", (event) => this.#key(event, station));
    return { group, texts };
  }

  #key(event, station) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      const next = (STATIONS.indexOf(station) + step + STATIONS.length) % STATIONS.length;
      this.#groups[next].group.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      this.#explain(station);
    } else {
      return;
    }
    event.preventDefault();
  }

  #explain(station) {
    this.#chosen = station;
    this.#groups.forEach(({ group }, index) => group.setAttribute("aria-pressed", String(STATIONS[index] === station)));
    this.explanation.querySelector("h3").textContent = station.name;
    this.explanation.querySelector("code").textContent = `dbproxy/${station.file}`;
    this.explanation.querySelector("p").textContent = text(`station.${station.id}`);
  }
}
