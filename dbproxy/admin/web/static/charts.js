// Charts of the overview, drawn by uPlot (a classic script and therefore a global) from the tables that the page has anyway: who has no
// JavaScript, or does not see, has the tables.

const { uPlot } = window;
const HEIGHT = 220;

const color = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The rows of a table: its first column, and the numbers of the others. */
function read(table) {
  const rows = [...table.tBodies[0].rows];
  const labels = rows.map((row) => row.cells[0].textContent);
  const values = [1, 2].map((column) => rows.map((row) => Number(row.cells[column].dataset.value)));
  return { labels, values };
}

/** Bars of two kinds on top of each other. */
function drawDays(figure) {
  const canvas = figure.querySelector(".canvas");
  const { labels, values } = read(document.getElementById(figure.dataset.chart));
  const [single, group] = values;
  const total = single.map((value, index) => value + group[index]);
  const bars = uPlot.paths.bars({ size: [0.75, 40] });
  const axis = { stroke: color("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: color("--grid"), width: 1 };
  canvas.hidden = false;
  const options = {
    width: canvas.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 8, 0, 0],
    scales: { x: { time: false, range: [-0.6, labels.length - 0.4] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.05 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 56, incrs: [1, 2, 5, 7, 10, 15], values: (_, marks) => marks.map((mark) => labels[mark]?.slice(5) ?? "") },
      { ...axis, grid, size: 70, values: (_, marks) => marks.map((mark) => (Number.isInteger(mark) ? mark.toLocaleString("en") : "")) },
    ],
    series: [
      {},
      { fill: color("--line-3"), stroke: color("--line-3"), width: 0, paths: bars, points: { show: false } },
      { fill: color("--line-1"), stroke: color("--line-1"), width: 0, paths: bars, points: { show: false } },
    ],
  };
  const plot = new uPlot(options, [labels.map((_, index) => index), total, single], canvas);
  new ResizeObserver(() => plot.setSize({ width: canvas.clientWidth, height: HEIGHT })).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw(false, true));
}

document.querySelectorAll("[data-chart]").forEach(drawDays);
