// Small things of many pages: passing toasts, the eye of a password, going back, counts of related lists, a guessed time zone.
function toast(one) {
  let timer;
  const wait = () => { timer = setTimeout(() => one.remove(), 8000); };
  one.addEventListener("mouseenter", () => clearTimeout(timer));
  one.addEventListener("focusin", () => clearTimeout(timer));
  one.addEventListener("mouseleave", wait);
  wait();
}

// What somebody has typed into a form and not sent: a page that loads anew would lose it. (The form of a record asks by itself.)
function typed() {
  const texts = ":is(textarea, input:not([type=hidden], [type=checkbox], [type=radio], [type=file], [type=search]))";
  const fields = document.querySelectorAll(`main form[method=post]:not(#record-form) ${texts}`);
  return [...fields].some((field) => field.value !== field.defaultValue && !field.closest(".ts-wrapper"));
}

// By what is written on the key, wherever it lies (QWERTZ); by its place where letters are others (Cyrillic).
function isZ(event) {
  return /^[a-z]$/i.test(event.key) ? event.key.toLowerCase() === "z" : event.code === "KeyZ";
}

// Ctrl-Z outside fields takes back what one did last, Ctrl-Shift-Z does it again; not while something is typed and unsaved.
function startUndo() {
  const form = document.getElementById("undo-last");
  if (!form) return;
  document.addEventListener("keydown", (event) => {
    if (!isZ(event) || !(event.ctrlKey || event.metaKey) || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input, textarea, select, [contenteditable], dialog") || document.querySelector("dialog[open], .m-changed") || typed()) return;
    event.preventDefault();
    form.elements.again.value = event.shiftKey ? "1" : "";
    form.elements.next.value = location.pathname + location.search;
    form.requestSubmit();
  });
}

// That a page of records goes to the printer is kept in the journal, as exports are.
function startPrinting() {
  for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());
  const found = location.pathname.match(/^\/(\w+)\/(?:(\d+)(?:\/_past)?)?$/);
  const token = document.querySelector("#undo-last [name=csrf_token]")?.value;
  if (!found || !token || !document.querySelector("#record-form, [data-list], [data-past]")) return;
  addEventListener("beforeprint", () => {
    fetch(`/${found[1]}/${found[2] ? `${found[2]}/` : ""}_printed`, { method: "POST", keepalive: true, headers: { "X-CSRFToken": token } });
  });
}

export function startSmallThings() {
  startUndo();
  startPrinting();
  for (const one of document.querySelectorAll("[data-toast]:not([data-toast=sticky])")) toast(one);
  for (const eye of document.querySelectorAll("[data-reveal]")) {
    const field = document.getElementById(eye.dataset.reveal);
    eye.hidden = false;
    eye.addEventListener("click", () => {
      const shown = field.type === "text";
      field.type = shown ? "password" : "text";
      eye.setAttribute("aria-pressed", String(!shown));
      eye.querySelector("i").className = `ti ti-${shown ? "eye" : "eye-off"}`;
    });
  }
  // Browsers let pages write to the clipboard over https and on this machine only; elsewhere a click on the text selects all of it.
  for (const copy of document.querySelectorAll("[data-copy]")) {
    copy.hidden = !navigator.clipboard;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent);
      copy.querySelector("[role=status]").textContent = copy.dataset.done;
    });
  }
  for (const back of document.querySelectorAll("[data-back]")) {
    back.hidden = history.length < 2;
    back.addEventListener("click", () => history.back());
  }
  // The secret of a mailed link stands behind the #, where no server and no log sees it; it leaves the address bar at once.
  const code = document.querySelector("[data-code-form]");
  if (code && location.hash.length > 20) {
    code.elements.code.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    code.requestSubmit();
  }
  const zone = document.querySelector("[data-guess-zone]");
  if (zone && !zone.value) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  for (const jump of document.querySelectorAll("[data-swatch]")) {
    jump.addEventListener("change", () => { jump.parentElement.querySelector(".m-swatch").dataset.colour = jump.value; });
  }
  // A select that leads somewhere goes there at once; its button is for those without scripts.
  for (const jump of document.querySelectorAll("[data-jump]")) {
    jump.form.querySelector("button").hidden = true;
    jump.addEventListener("change", () => jump.form.requestSubmit());
  }
  const kind = document.querySelector("[data-kind]:is(select)");
  if (kind) {
    const parts = [...document.querySelectorAll("[data-for-kind]")];
    const show = () => { for (const part of parts) part.hidden = !part.dataset.forKind.split(" ").includes(kind.value); };
    kind.addEventListener("change", show);
    show();
  }
  // A related list tells its number when it has come; the block's head and the tab repeat it.
  const spread = (root) => {
    for (const told of root.querySelectorAll("[data-count-for]")) {
      const id = told.dataset.countFor;
      const head = document.getElementById(id)?.querySelector("[data-count-in]");
      if (head && head.textContent !== told.textContent) head.textContent = told.textContent;
      const tab = document.querySelector(`[data-count-of="${id}"]`);
      if (tab && tab.textContent !== told.textContent) tab.textContent = told.textContent;
    }
  };
  new MutationObserver(() => spread(document)).observe(document.body, { childList: true, subtree: true });
  // A piece that cannot come says so, where its skeleton stood.
  for (const name of ["htmx:response:error", "htmx:error"]) {
    document.addEventListener(name, (event) => {
      const place = event.target.closest?.("[hx-get]");
      if (!place) return;
      const told = document.createElement("p");
      told.className = "m-pad m-sm m-faint";
      told.textContent = document.body.dataset.failed;
      const cell = place.querySelector("td") ?? place;
      cell.replaceChildren(told);
    });
  }
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button?.name || event.defaultPrevented) return;
    button?.setAttribute("aria-busy", "true");
  });
}
