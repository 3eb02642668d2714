// Ctrl-K: pages as one types, records and actions from the server a moment later, the records opened last before anything is typed.
const PAUSE = 120;
const SLOW = 400;
const KEPT = 8;

export function startLauncher() {
  const dialog = document.getElementById("launcher");
  if (!dialog) return;
  const search = dialog.querySelector("input[type=search]");
  const list = dialog.querySelector("[data-choices]");
  const state = dialog.querySelector("[data-state]");
  const nothing = dialog.querySelector("[data-nothing]");
  const places = { recent: list.querySelector("[data-recent]"), found: list.querySelector("[data-found]") };
  const pages = [...list.querySelectorAll(".m-launch-item")];
  const memory = `mortise-recent-${dialog.dataset.person}`;
  let asking = null;
  let timer;
  let slow;
  let number = 0;

  // What assistive technology hears: a box with a list of choices, one of them active.
  for (const [name, value] of Object.entries({ role: "combobox", "aria-expanded": "true", "aria-controls": list.id, "aria-autocomplete": "list" })) search.setAttribute(name, value);
  list.setAttribute("role", "listbox");
  const speak = (root) => {
    for (const group of root.querySelectorAll("[data-group]")) {
      const head = group.querySelector("h2");
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", head.textContent);
      head.setAttribute("role", "presentation");
    }
    for (const item of root.querySelectorAll(".m-launch-item:not([role])")) {
      item.id ||= `launch-${(number += 1)}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
    }
  };
  speak(list);

  const shown = () => [...list.querySelectorAll(".m-launch-item")].filter((item) => item.checkVisibility());
  const chosen = () => list.querySelector(".m-launch-item.on");
  const choose = (item) => {
    for (const other of list.querySelectorAll(".m-launch-item.on")) {
      other.classList.remove("on");
      other.setAttribute("aria-selected", "false");
    }
    item?.classList.add("on");
    item?.setAttribute("aria-selected", "true");
    if (item) search.setAttribute("aria-activedescendant", item.id); else search.removeAttribute("aria-activedescendant");
    item?.scrollIntoView({ block: "nearest" });
  };

  const recent = () => {
    try { return JSON.parse(localStorage.getItem(memory)) ?? []; } catch { return []; }
  };
  const open = document.querySelector("[data-record]") && /^\/([a-z]\w*\/\d+)$/.exec(location.pathname);
  if (open) localStorage.setItem(memory, JSON.stringify([open[1], ...recent().filter((one) => one !== open[1])].slice(0, KEPT + 1)));

  const make = (tag, name, text) => {
    const made = document.createElement(tag);
    made.className = name;
    if (text) made.textContent = text;
    return made;
  };
  const draw = (place, groups) => {
    place.replaceChildren(...groups.map((group) => {
      const section = document.createElement("section");
      section.dataset.group = "";
      const grid = make("div", "m-launch-grid");
      for (const one of group.items) {
        const item = make("a", "m-launch-item");
        const tile = make("span", "m-tile");
        const icon = make("i", `ti ti-${one.icon}`);
        const title = make("span", "m-clip", one.title);
        icon.setAttribute("aria-hidden", "true");
        tile.dataset.colour = one.colour;
        tile.append(icon);
        if (one.hint) title.append(make("small", "m-clip", one.hint));
        item.href = one.url;
        item.title = one.title;
        item.append(tile, title);
        grid.append(item);
      }
      section.append(make("h2", "", group.title), grid);
      return section;
    }));
    speak(place);
  };
  const settle = (words) => {
    nothing.hidden = !words || asking !== null || shown().length > 0 || state.textContent !== "";
    if (words && !(chosen()?.checkVisibility())) choose(shown()[0] ?? null);
  };

  async function ask(query, place, words) {
    asking?.abort();
    const mine = (asking = new AbortController());
    slow = setTimeout(() => { state.textContent = state.dataset.slow; }, SLOW);
    let said = "";
    try {
      const answer = await fetch(`/find?${new URLSearchParams(query)}`, { headers: { Accept: "application/json" }, signal: mine.signal });
      if (answer.status === 401 || answer.redirected) said = state.dataset.signedOut;
      else if (!answer.ok) said = state.dataset.failed;
      else draw(place, (await answer.json()).groups);
    } catch {
      if (mine.signal.aborted) return;
      said = state.dataset.failed;
    }
    if (mine !== asking) return;
    clearTimeout(slow);
    asking = null;
    if (said) draw(place, []);
    state.textContent = said;
    settle(words);
  }

  const find = () => {
    const words = search.value.trim();
    const folded = words.toLowerCase();
    for (const item of pages) item.hidden = !item.dataset.words.toLowerCase().includes(folded);
    for (const group of list.querySelectorAll(":scope > [data-group]")) group.hidden = !group.querySelector(".m-launch-item:not([hidden])");
    places.recent.hidden = Boolean(words);
    clearTimeout(timer);
    clearTimeout(slow);
    asking?.abort();
    asking = null;
    state.textContent = "";
    if (!words) {
      draw(places.found, []);
      choose(null);
      const last = recent().filter((one) => one !== open?.[1]).slice(0, KEPT);
      if (last.length) ask({ recent: last.join(",") }, places.recent, "");
      settle("");
      return;
    }
    // Until the answer comes, what an earlier word has found must not be taken for what this one finds.
    timer = setTimeout(() => ask({ q: words }, places.found, words), PAUSE);
    asking = new AbortController();
    draw(places.found, []);
    choose(shown()[0] ?? null);
    settle(words);
  };

  // The next choice in the direction of an arrow, by where it stands on the screen: pages come in columns, on a phone in one.
  const beside = (key) => {
    const items = shown();
    const here = chosen();
    if (!here) return items[0];
    const at = items.indexOf(here);
    if (key === "ArrowRight") return items[at + 1];
    if (key === "ArrowLeft") return items[at - 1];
    const box = here.getBoundingClientRect();
    const down = key === "ArrowDown";
    const far = (item) => {
      const other = item.getBoundingClientRect();
      const gap = down ? other.top - box.bottom : box.top - other.bottom;
      return gap < -4 ? Infinity : gap * 10 + Math.abs(other.left - box.left);
    };
    return items.reduce((best, item) => (far(item) < (best ? far(best) : Infinity) ? item : best), null);
  };

  const start = () => {
    search.value = "";
    if (!dialog.open) dialog.showModal();
    find();
    search.focus();
  };
  search.addEventListener("input", find);
  dialog.addEventListener("keydown", (event) => {
    const inBox = document.activeElement === search;
    if (event.key === "Enter" && inBox && chosen()) {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) window.open(chosen().href, "_blank", "noopener"); else chosen().click();
    } else if (event.key.startsWith("Arrow") && !event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown" || !inBox || !search.value)) {
      event.preventDefault();
      choose(beside(event.key) ?? chosen());
    }
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-launcher]");
    if (!opener || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (dialog.open) dialog.close(); else start();
  });
  document.addEventListener("keydown", (event) => {
    const wanted = (event.altKey && event.code === "KeyM") || ((event.ctrlKey || event.metaKey) && event.code === "KeyK");
    if (!wanted) return;
    event.preventDefault();
    start();
  });
}
