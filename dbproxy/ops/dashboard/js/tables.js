// Tables whose cells change every second: rows are used again, only text that differs is written, and nothing of it is ever HTML.

import { text } from "./i18n.js";

/**
 * A `<table>` with the columns `{ text, value(row), kind, sort, level(row), fill(row) }`:
 * text: key of the heading; value: what stands in the cell; kind: "number", "name", "moment", "text" or "wide" (how it is set);
 * sort: the order's name if the column can be sorted by; level: "", "warn" or "bad"; fill: 0..1 of a bar behind the text.
 */
export class Table {
  #body;
  #headings = [];

  constructor(element, columns, { empty, onSort } = {}) {
    this.element = element;
    this.columns = columns;
    this.empty = empty;
    this.onSort = onSort;
    element.createTHead().insertRow();
    this.#body = element.createTBody();
    this.relabel();
  }

  /** Write the headings in the language of the page. */
  relabel() {
    const row = this.element.tHead.rows[0];
    const focused = this.#headings.findIndex((cell) => cell.contains(document.activeElement));
    this.#headings = this.columns.map((column) => {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.className = column.kind ?? "";
      if (column.sort) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text(column.text);
        button.addEventListener("click", () => this.onSort(column.sort));
        cell.append(button);
      } else {
        cell.textContent = text(column.text);
      }
      return cell;
    });
    row.replaceChildren(...this.#headings);
    if (focused >= 0) this.#headings[focused].querySelector("button")?.focus();
    const single = this.#body.querySelector(".empty");
    if (single !== null) single.textContent = text(this.empty);
  }

  /** Mark the column that the rows are sorted by; all orders begin with the largest. */
  markSorted(sort, direction = "descending") {
    this.columns.forEach((column, index) => {
      if (column.sort === sort) this.#headings[index].setAttribute("aria-sort", direction);
      else this.#headings[index].removeAttribute("aria-sort");
    });
  }

  /** Show these rows, in this order, and no others. */
  show(rows) {
    if (rows.length === 0 && this.empty) {
      this.#showEmpty();
      return;
    }
    if (this.#body.querySelector(".empty") !== null) this.#body.replaceChildren();
    while (this.#body.rows.length > rows.length) this.#body.lastElementChild.remove();
    while (this.#body.rows.length < rows.length) this.#body.append(this.#newRow());
    rows.forEach((row, index) => this.#fill(this.#body.rows[index], row));
  }

  #showEmpty() {
    if (this.#body.querySelector(".empty") !== null) return;
    const row = document.createElement("tr");
    const cell = row.insertCell();
    cell.className = "empty";
    cell.colSpan = this.columns.length;
    cell.textContent = text(this.empty);
    this.#body.replaceChildren(row);
  }

  #newRow() {
    const row = document.createElement("tr");
    this.columns.forEach((column, index) => {
      // the first cell names the row
      const cell = document.createElement(index === 0 ? "th" : "td");
      if (index === 0) cell.scope = "row";
      cell.className = column.kind ?? "";
      row.append(cell);
    });
    return row;
  }

  #fill(element, row) {
    this.columns.forEach((column, index) => {
      const cell = element.cells[index];
      const value = String(column.value(row));
      if (cell.textContent !== value) cell.textContent = value;
      if (column.level) {
        const level = column.level(row);
        if ((cell.dataset.level ?? "") !== level) cell.dataset.level = level;
      }
      if (column.fill) {
        cell.classList.add("bar");
        cell.style.setProperty("--fill", String(Math.min(1, Math.max(0, column.fill(row)))));
      }
    });
  }
}
