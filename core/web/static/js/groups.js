// Groups of a list: they unfold by click or keyboard, and fetch their records when they do for the first time.
export function startGroups(form, changed) {
  const heads = [...form.querySelectorAll("[data-group]")];
  if (!heads.length) return;
  const bones = form.querySelector("[data-bones]");
  const button = (head) => head.querySelector("[data-fold]");
  const isOpen = (head) => button(head).getAttribute("aria-expanded") === "true";
  const above = (head) => heads.find((other) => other !== head && head.dataset.group.startsWith(`${other.dataset.group}-`));
  const rowsOf = (head) => form.querySelector(`[data-rows="${head.dataset.group}"]`);

  const show = () => {
    for (const head of heads) {
      const outer = above(head);
      head.hidden = Boolean(outer) && !isOpen(outer);
      const rows = rowsOf(head);
      if (!rows) continue;
      rows.hidden = head.hidden || !isOpen(head);
      if (rows.hidden || rows.dataset.state) continue;
      rows.dataset.state = "asked";
      rows.replaceChildren(bones.content.cloneNode(true));
      rows.dispatchEvent(new CustomEvent("m-unfold"));
    }
    changed();
  };
  const fold = (head, open) => {
    button(head).setAttribute("aria-expanded", String(open));
    show();
  };
  form.addEventListener("click", (event) => {
    const row = event.target.closest(".m-group-row");
    if (row && !event.target.closest("a, input")) fold(row.parentElement, !isOpen(row.parentElement));
  });
  form.addEventListener("keydown", (event) => {
    const here = event.target.closest("[data-fold]")?.closest("[data-group]");
    if (!here) return;
    const seen = heads.filter((head) => !head.hidden);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) button(seen[seen.indexOf(here) + step] ?? here).focus();
    else if (event.key === "ArrowRight") fold(here, true);
    else if (event.key === "ArrowLeft" && isOpen(here)) fold(here, false);
    else if (event.key === "ArrowLeft" && above(here)) button(above(here)).focus();
    else return;
    event.preventDefault();
  });
  // A button that has brought more rows is gone: the first of them takes its place under the keyboard.
  let last = null;
  form.addEventListener("click", (event) => {
    const more = event.target.closest("[data-more]");
    if (more) last = more.closest("tr").previousElementSibling;
  });
  document.addEventListener("htmx:after:swap", () => {
    last?.nextElementSibling?.querySelector("th a, button")?.focus();
    last = null;
    changed();
  });
  // What did not come is asked for again when the group is unfolded once more.
  for (const name of ["htmx:response:error", "htmx:error"]) {
    form.addEventListener(name, (event) => {
      const rows = event.target.closest?.("[data-rows]");
      if (rows) delete rows.dataset.state;
    });
  }
}
