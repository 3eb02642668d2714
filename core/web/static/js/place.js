// From a record to its neighbours in the list one came from, and back to that list as it was: kept in this tab only.
const key = (table) => `mortise-list-${table}`;
const read = (name) => {
  try { return JSON.parse(sessionStorage.getItem(name)) ?? {}; } catch { return {}; }
};

// A list remembers its address, the records on it, and how many stand before them.
export function rememberList(form) {
  const table = location.pathname.split("/")[1];
  const here = location.pathname + location.search;
  const { starts: known = {} } = read(key(table));
  const marks = new URLSearchParams(location.search);
  const start = marks.has("after") || marks.has("before") ? known[here] : 0;
  const starts = { [here]: start };
  const keep = () => {
    const ids = [...form.querySelectorAll("[data-row] th a")].map((link) => link.pathname.split("/")[2]);
    for (const link of document.querySelectorAll(".m-pager a, .m-list-sum a")) {
      const step = { next: ids.length, prev: -Number(form.dataset.size) }[link.rel];
      if (step && start !== undefined) starts[link.pathname + link.search] = Math.max(0, start + step);
    }
    sessionStorage.setItem(key(table), JSON.stringify({ url: here, ids, start, total: form.dataset.total, starts }));
  };
  keep();
  // Unfolded groups have brought rows along; a click on one of them comes after that.
  form.addEventListener("click", keep, true);
}

export function showPlace(nav) {
  const [, table, id] = location.pathname.split("/");
  const list = read(key(table));
  const at = list.ids?.indexOf(id) ?? -1;
  if (at < 0) return;
  for (const link of document.querySelectorAll("[data-to-list]")) link.href = list.url;
  for (const [name, other] of [["prev", list.ids[at - 1]], ["next", list.ids[at + 1]]]) {
    const link = nav.querySelector(`[rel=${name}]`);
    if (other) link.href = `/${table}/${other}`; else link.removeAttribute("href");
    link.toggleAttribute("aria-disabled", !other);
    if (!other) link.setAttribute("role", "link");
  }
  if (list.total && typeof list.start === "number") {
    nav.querySelector("[data-words]").textContent = nav.querySelector("[data-words]").dataset.words.replace("{place}", list.start + at + 1).replace("{total}", list.total);
  }
  nav.hidden = false;
}
