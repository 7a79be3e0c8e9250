// Sorting by a click on a column's head, and copying as CSV. Without JavaScript the page is complete but for these.
"use strict";

/** What a cell sorts by: its first number, else its text. */
function key(cell) {
  const number = cell.querySelector("data");
  const text = number ? number.value : cell.textContent.trim();
  const value = Number(text);
  return text !== "" && Number.isFinite(value) ? value : text;
}

/** Numbers before text, text in alphabetical order. */
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}

function sortBy(table, head) {
  const column = [...head.parentNode.children].indexOf(head);
  const descending = head.getAttribute("aria-sort") === "ascending";
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => (descending ? -1 : 1) * compare(key(a.cells[column]), key(b.cells[column])));
  table.tBodies[0].append(...rows);
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
}

/** RFC 4180: a field with a comma, a quote or a line end is quoted. */
function field(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The table with every number in full; a column of several numbers becomes several columns. */
function toCSV(table) {
  const heads = [...table.tHead.rows[0].cells];
  const parts = heads.map((head) => head.dataset.parts.split("|"));
  const lines = [heads.flatMap((head, i) => parts[i].map((part) => `${head.textContent.trim()} ${part}`.trim()))];
  for (const row of table.tBodies[0].rows) {
    lines.push([...row.cells].flatMap((cell, i) => {
      const numbers = [...cell.querySelectorAll("data")].map((number) => number.value);
      const values = numbers.length ? numbers : [cell.textContent.trim()];
      return parts[i].map((_, n) => values[n] ?? "");
    }));
  }
  return lines.map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
}

/** Copy in a way that also works for a page opened from a file, where navigator.clipboard may be absent. */
function copy(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offstage";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

for (const figure of document.querySelectorAll("figure.table")) {
  const table = figure.querySelector("table");
  const button = figure.querySelector("button.copy");
  button.hidden = false;
  button.addEventListener("click", () => {
    button.textContent = copy(toCSV(table)) ? "Copied" : "Copying is not allowed here";
    setTimeout(() => { button.textContent = "Copy as CSV"; }, 2000);
  });
  for (const head of table.tHead.rows[0].cells) {
    const sorter = document.createElement("button");
    sorter.type = "button";
    sorter.title = "Sort by this column";
    sorter.append(...head.childNodes);
    head.append(sorter);
    sorter.addEventListener("click", () => sortBy(table, head));
  }
}
