"use strict";
// Keeps the page up to date: an event names each part's version, and parts of another version are fetched.
{
  const main = document.querySelector("main");
  const nav = document.querySelector("nav");
  const trouble = document.getElementById("trouble");
  const LOST = "The connection to orch serve is lost; this page goes on once it is back.";
  const AGAIN_MS = 3000;

  const find = (id) => [...main.children].find((holder) => holder.dataset.part === id);

  // Fields by what they are: a trial's box by the trial, as rows come in between. A slider at its end follows that;
  // charts keep what was chosen of them by themselves.
  const fieldsOf = (holder) => [...holder.querySelectorAll("input, textarea, select")].filter((field) => !field.closest(".live")).map((field, place) => [field.name === "trial" ? field.value : place, field]);
  const stateOf = (field) => (field.type === "checkbox" ? field.checked : field.value);
  const isAtEnd = (field) => field.type === "range" && "epochs" in field.dataset && field.value === field.max;

  // What a reader has done to a part outlives its replacement.
  const remember = (holder) => ({
    folds: [...holder.querySelectorAll("details")].map((fold) => fold.open),
    scrolls: [...holder.querySelectorAll(".scroll, .wide, pre")].map((box) => [box.scrollLeft, box.scrollTop]),
    fields: new Map(fieldsOf(holder).filter(([, field]) => !isAtEnd(field)).map(([key, field]) => [key, stateOf(field)])),
    sorts: [...holder.querySelectorAll("th[aria-sort]")].map((head) => [head.cellIndex, head.getAttribute("aria-sort")]),
    focus: focusable(holder).indexOf(document.activeElement),
  });
  const focusable = (holder) => [...holder.querySelectorAll("a[href], button, input, textarea, summary, [tabindex]")];
  const restore = (holder, kept) => {
    holder.querySelectorAll("details").forEach((fold, place) => { fold.open = kept.folds[place] ?? fold.open; });
    for (const [key, field] of fieldsOf(holder)) {
      const state = kept.fields.get(key);
      if (state === undefined || state === stateOf(field)) continue;
      if (field.type === "checkbox") {
        field.click();
      } else {
        field.value = state;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }
    for (const [place, order] of kept.sorts) {
      const button = holder.querySelector("table.sortable")?.tHead.rows[0].cells[place]?.querySelector("button");
      button?.click();
      if (order === "descending") button?.click();
    }
    holder.querySelectorAll(".scroll, .wide, pre").forEach((box, place) => {
      [box.scrollLeft, box.scrollTop] = kept.scrolls[place] ?? [0, 0];
    });
    if (kept.focus >= 0) focusable(holder)[kept.focus]?.focus({ preventScroll: true });
  };

  // A slider shows the pictures of its epoch.
  document.addEventListener("input", ({ target }) => {
    if (!target.dataset.epochs) return;
    const film = target.closest(".film");
    film.querySelector("output").textContent = JSON.parse(target.dataset.epochs)[target.value];
    for (const image of film.querySelectorAll("img")) {
      const source = JSON.parse(image.dataset.sources)[target.value];
      if (source) image.src = source;
    }
  });

  // Moments say how long ago they were.
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const age = (root) => {
    for (const moment of root.querySelectorAll("time")) {
      const passed = Math.max(0, (Date.now() - Date.parse(moment.dateTime)) / 1000);
      const [unit, length] = UNITS.find(([, seconds]) => passed >= seconds) ?? UNITS.at(-1);
      moment.title ||= moment.textContent;
      moment.textContent = words.format(-Math.floor(passed / length), unit);
    }
  };

  const place = (part, before) => {
    const holder = document.createElement("div");
    holder.dataset.part = part.id;
    before ? before.after(holder) : main.prepend(holder);
    return holder;
  };
  const load = async (holder, part) => {
    const reply = await fetch(`?part=${encodeURIComponent(part.id)}${query()}`);
    if (!reply.ok) return;
    const text = await reply.text();
    const kept = remember(holder);
    holder.innerHTML = text;
    holder.dataset.version = part.version;
    prepare(holder);
    restore(holder, kept);
    age(holder);
  };
  const query = () => location.search.slice(1).split("&").filter((one) => one.startsWith("trial=")).map((one) => `&${one}`).join("");

  let busy = Promise.resolve();
  const apply = async (state) => {
    say(state.trouble);
    if (state.parts.length) document.getElementById("waiting")?.remove();
    for (const holder of [...main.children]) {
      if (holder.dataset.part && !state.parts.some((part) => part.id === holder.dataset.part)) holder.remove();
    }
    let before = null;
    for (const part of state.parts) {
      const holder = find(part.id) ?? place(part, before);
      if (holder.dataset.version !== part.version) await load(holder, part);
      before = holder;
    }
    const named = state.parts.map((part) => `#${part.id}`);
    if (named.join() !== [...nav.children].map((link) => link.hash).join()) {
      nav.replaceChildren(...state.parts.map((part) => Object.assign(document.createElement("a"), { href: `#${part.id}`, textContent: part.nav })));
    }
  };
  const say = (line) => {
    if (trouble.textContent !== line) trouble.textContent = line;
    trouble.hidden = !line;
  };

  const follow = () => {
    const source = new EventSource(`?events${query()}`);
    source.onmessage = (event) => {
      const state = JSON.parse(event.data);
      busy = busy.then(() => apply(state)).catch(() => say(LOST));
    };
    source.onerror = () => {
      say(LOST);
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
    };
  };

  age(document);
  setInterval(() => age(document), 1000);
  if ("live" in main.dataset) follow();
}
