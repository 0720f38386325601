"use strict";
// Opens what a link leads into, and everything on paper.
const openTo = (target) => {
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement?.closest("details")) fold.open = true;
};
const follow = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  openTo(target);
  target.scrollIntoView();
};
addEventListener("hashchange", follow);
addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details.fold")) fold.open = true; });
if (location.hash) follow();

// Says of tables that are wider than their place that there is more to the right.
const hint = () => {
  for (const scroll of document.querySelectorAll(".table > .scroll")) {
    scroll.previousElementSibling.hidden = scroll.scrollWidth <= scroll.clientWidth + 1;
  }
};
addEventListener("resize", hint);
document.addEventListener("toggle", hint, true);

// Sorts a table's rows by the column whose heading's button is pressed; cells without a value stay last.
const makeSortable = (table, heads) => {
  const body = table.tBodies[0];
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    body.append(...[...body.rows].sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return x === "" || y === "" ? (x === "") - (y === "") : sign * compare(x, y);
    }));
  }));
};

// A list of the table's columns, of which each but the first can be hidden.
const makeChooser = (table, heads) => {
  const [fold, summary, list] = ["details", "summary", "div"].map((tag) => document.createElement(tag));
  fold.className = "columns";
  summary.textContent = "Choose columns";
  heads.slice(1).forEach((head, place) => {
    const [label, box] = ["label", "input"].map((tag) => document.createElement(tag));
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      for (const row of table.rows) row.cells[place + 1].hidden = !box.checked;
      hint();
    });
    label.append(box, head.textContent.trim());
    list.append(label);
  });
  fold.append(summary, list);
  table.closest(".table").prepend(fold);
};

// Makes what stands in the page, or in a part that was put into it later, as it is to be used.
const prepare = (root) => {
  for (const table of root.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    makeSortable(table, heads);
    makeChooser(table, heads);
  }
  hint();
};
prepare(document);
