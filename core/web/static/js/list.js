// A list: the whole row opens, the selection drives the bulk bar, and coming back finds the page as it was left.
import { startGroups } from "./groups.js";

// The columns of a list change their places by two buttons; the form sends them in the order in which they stand.
export function startOrder(form) {
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-up], [data-down]");
    if (!button) return;
    const item = button.closest("li");
    const up = "up" in button.dataset;
    const other = up ? item.previousElementSibling : item.nextElementSibling;
    if (up) other?.before(item); else other?.after(item);
    // At either end the pressed button is gone: the other one keeps the keyboard.
    (getComputedStyle(button).visibility === "hidden" ? item.querySelector(up ? "[data-down]" : "[data-up]") : button).focus();
  });
}

export function startList(form) {
  // Asked anew each time: groups bring rows along when they unfold.
  const every = () => [...form.querySelectorAll("input[name=ids]")];
  const inSight = () => every().filter((box) => box.checked || !box.closest("tbody").hidden);
  const all = form.querySelector("[data-all]");
  const everything = form.querySelector("[data-everything]");
  const count = form.querySelector("[data-count]");
  const whole = form.querySelector("input[name=all]");

  const show = () => {
    const boxes = inSight();
    const chosen = boxes.filter((box) => box.checked);
    for (const box of boxes) box.closest("tr").setAttribute("aria-selected", box.checked);
    if (!all) return;
    all.checked = chosen.length > 0 && chosen.length === boxes.length;
    all.indeterminate = chosen.length > 0 && !all.checked;
    if (chosen.length !== boxes.length) whole.value = "";
    if (whole.value) count.textContent = everything.dataset.text;
    else count.textContent = chosen.length === 1 ? count.dataset.one : count.dataset.many.replace("{count}", chosen.length);
    if (everything) everything.hidden = Boolean(whole.value) || chosen.length !== boxes.length;
    form.toggleAttribute("data-chosen", chosen.length > 0);
  };
  const check = (value) => {
    for (const box of value ? inSight() : every()) box.checked = value;
    show();
  };
  form.addEventListener("change", (event) => (event.target === all ? check(all.checked) : show()));
  everything?.addEventListener("click", () => {
    whole.value = "1";
    show();
  });
  form.querySelector("[data-none]")?.addEventListener("click", () => {
    whole.value = "";
    check(false);
  });
  form.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (!row || event.target.closest("a, button, input, label") || getSelection().toString()) return;
    const link = row.querySelector("th a");
    if (event.target.closest(".m-check")) {
      row.querySelector("input").click();
    } else if (event.ctrlKey || event.metaKey) {
      open(link.href, "_blank", "noopener");
    } else {
      link.click();
    }
  });
  startGroups(form, show);
  show();
  // The browser restores the boxes after this module ran when one comes back.
  addEventListener("pageshow", show);
}
