// The form: marks what is changed, shows the save bar when there is something to save, and asks before it is lost.
import { keepDraft, takeDraft } from "./draft.js";

const controls = (field) => [...field.querySelectorAll("input:not([type=hidden]), select, textarea")];

function valueOf(field) {
  const parts = controls(field);
  if (parts.length && parts.every((one) => one.type === "checkbox")) {
    const chosen = parts.filter((one) => one.checked).map((one) => one.value);
    return parts[0].classList.contains("m-switch") ? (chosen.length ? "1" : "") : JSON.stringify(chosen.sort());
  }
  const [one] = parts;
  if (!one) return null;
  if (one.multiple) return JSON.stringify([...one.selectedOptions].map((option) => option.value).sort());
  return one.value;
}

export function startForm(form) {
  const fields = [...form.querySelectorAll("[data-field]")];
  const bar = document.querySelector("[data-save]");
  const text = bar?.querySelector("[data-changed]");
  const isNew = form.hasAttribute("data-new");
  const first = new Map(fields.map((field) => [field, valueOf(field)]));
  const refused = new Set(fields.filter((field) => field.classList.contains("m-changed") || field.classList.contains("m-wrong")));
  let sending = false;
  takeDraft();

  const changed = () => fields.filter((field) => refused.has(field) || valueOf(field) !== first.get(field));
  const label = (field) => field.querySelector("label, .m-label").firstChild.textContent.trim();
  const show = () => {
    const now = changed();
    for (const field of fields) if (!isNew) field.classList.toggle("m-changed", now.includes(field));
    if (!bar) return;
    bar.hidden = !isNew && !now.length;
    if (!isNew && now.length) {
      const words = now.length === 1 ? text.dataset.one : text.dataset.many.replace("{count}", now.length);
      const strong = document.createElement("span");
      strong.className = "m-strong";
      strong.textContent = words;
      const names = document.createElement("span");
      names.className = "m-desk m-dim";
      names.textContent = ` ${now.map(label).join(text.dataset.between)}`;
      text.replaceChildren(strong, names);
    }
  };
  form.addEventListener("input", show);
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => {
    // Two clicks, or Ctrl-S held down, are one form.
    if (sending) return event.preventDefault();
    sending = true;
    keepDraft(form);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) sending = false; });
  document.querySelector("[data-discard]")?.addEventListener("click", () => { sending = true; });
  addEventListener("beforeunload", (event) => {
    if (!sending && changed().length) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.code === "KeyS") {
      event.preventDefault();
      form.requestSubmit();
    }
    if (event.altKey && event.code === "KeyN") document.querySelector("[data-key=n]")?.click();
  });
  show();
  const summary = document.getElementById("errors");
  if (summary) (form.querySelector("[aria-invalid=true]") ?? summary).focus();
  else if (isNew) form.querySelector("input:not([type=hidden]), textarea, select")?.focus();
}
