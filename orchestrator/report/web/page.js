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

addEventListener("resize", hint);
document.addEventListener("toggle", hint, true);

// Light or dark: as the system has it, until a reader says otherwise.
const remembered = { // a browser may refuse to keep anything
  get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* until the page is closed, then */ } },
};
const makeTheme = () => {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const button = element("button", { type: "button", className: "theme" });
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; button.title = `Show the page ${isDark() ? "light" : "dark"}`; };
  if (["light", "dark"].includes(remembered.get())) root.dataset.theme = remembered.get();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered.set(root.dataset.theme);
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
  document.querySelector("header")?.prepend(button);
};

// Makes a part of a page, once it is in it, answer to the hand.
const prepare = (root) => {
  dressTables(root);
  dressCharts(root);
};
makeTheme();
prepare(document);
