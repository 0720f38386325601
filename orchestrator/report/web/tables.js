"use strict";
// The value of a cell, as it was stored where that differs from what is read.
const valueOf = (cell) => cell.dataset.value ?? cell.querySelector("code")?.textContent ?? cell.textContent.trim();
const numbered = (text) => (text === "" ? NaN : Number(text));

// Sorts a table's rows by the column whose heading's button is pressed; cells without a value stay last.
const makeSortable = (table, heads) => {
  const body = table.tBodies[0];
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    body.append(...[...body.rows].sort((a, b) => {
      const [x, y] = [valueOf(a.cells[column]), valueOf(b.cells[column])];
      return x === "" || y === "" ? (x === "") - (y === "") : sign * compare(x, y);
    }));
  }));
};

// A list of the table's columns, of which each but the first can be hidden.
const makeChooser = (table, heads) => {
  const list = element("div");
  heads.slice(1).forEach((head, place) => {
    const box = element("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      for (const row of table.rows) row.cells[place + 1].hidden = !box.checked;
      hint();
    });
    list.append(element("label", {}, box, head.textContent.trim()));
  });
  return element("details", { className: "columns" }, element("summary", { textContent: "Choose columns" }), list);
};

// Whether a row has what a reader looks for: each of the words somewhere, and each comparison as "fid<20" in its column.
const matcher = (text, names) => {
  const terms = text.toLowerCase().match(/[^\s"]*"[^"]*"|\S+/g) ?? [];
  const tests = terms.map((term) => {
    const plain = term.replaceAll('"', "");
    const [, name, sign, wanted] = plain.match(/^([^<>=]+)(<=|>=|<|>|=)(.+)$/) ?? [];
    const column = names.findIndex((one) => one === name || one.replaceAll(" ", "_") === name);
    if (column < 0) return (row) => row.textContent.toLowerCase().includes(plain) || row.id.includes(plain);
    return (row) => {
      const found = valueOf(row.cells[column]).toLowerCase();
      const [x, y] = [numbered(found), numbered(wanted)];
      if (sign === "=") return found === wanted || x === y;
      return { "<": x < y, ">": x > y, "<=": x <= y, ">=": x >= y }[sign];
    };
  });
  return (row) => tests.every((test) => test(row));
};

// The rows that are shown, as they are stored: whole ids, numbers without rounding, columns that are not hidden.
const asCsv = (table, heads) => {
  const columns = heads.map((head, place) => place).filter((place) => !heads[place].hidden && heads[place].textContent.trim() !== "settings");
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const line = (values) => `${values.map(quoted).join(",")}\r\n`;
  const value = (row, place) => (place === 0 && row.id ? row.id.replace("trial-", "") : valueOf(row.cells[place]));
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  return line(columns.map((place) => heads[place].textContent.trim())) + rows.map((row) => line(columns.map((place) => value(row, place)))).join("");
};

const makeTools = (table, heads) => {
  const count = element("output");
  const names = heads.map((head) => head.textContent.trim().toLowerCase());
  const number = names.find((name, place) => heads[place].classList.contains("num")), status = names.find((name) => name === "status" || name === "state");
  const examples = [number && `${number.replaceAll(" ", "_")}<1`, status && `${status}=failed`].filter(Boolean);
  const input = element("input", { type: "search", placeholder: ["Words", ...examples].join(", or ") });
  input.setAttribute("aria-label", "Show only rows with these words, or with such values in a column");
  const rows = [...table.tBodies[0].rows];
  input.addEventListener("input", () => {
    const matches = matcher(input.value, names);
    for (const row of rows) row.hidden = !matches(row);
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = input.value.trim() ? `${shown} of ${rows.length}` : "";
  });
  const save = element("button", { type: "button", textContent: "Save as CSV", title: "The rows shown, numbers unrounded" });
  save.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([asCsv(table, heads)], { type: "text/csv" }));
    element("a", { href: address, download: `${table.closest("section").id}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  });
  return element("div", { className: "tools" }, input, save, count);
};

const copied = async (text) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", { value: text }); // pages by plain http have no clipboard
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
};
const makeCopy = (row) => {
  const button = element("button", { type: "button", className: "copy", textContent: "copy" });
  const id = row.id.replace("trial-", "");
  button.setAttribute("aria-label", `Copy the id ${id}`);
  button.addEventListener("click", () => copied(id).then(() => { button.textContent = "copied"; }, () => { button.textContent = id; }));
  row.cells[0].append(button);
};

// Says of tables that are wider than their place that there is more to the right.
const hint = () => {
  for (const scroll of document.querySelectorAll(".table > .scroll")) {
    scroll.previousElementSibling.hidden = scroll.scrollWidth <= scroll.clientWidth + 1;
  }
};
const dressTables = (root) => {
  for (const table of root.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    for (const row of table.tBodies[0].rows) if (row.id.startsWith("trial-")) makeCopy(row);
    makeSortable(table, heads);
    table.closest(".table").prepend(makeTools(table, heads), makeChooser(table, heads));
  }
  hint();
};
