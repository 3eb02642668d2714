// What was typed outlives an answer that was no page of ours: a session that had ended, an error, a line that dropped.
const KEY = "mortise-draft";
const HOUR = 3_600_000;

const boxes = (form) => [...form.elements].filter((one) => one.name && !["hidden", "file", "submit"].includes(one.type));

// A draft is its writer's alone: the next person at this tab does not meet it.
const writer = () => document.querySelector(".m-me-name .m-faint")?.textContent ?? "";

function read() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return kept && Date.now() - kept.at < HOUR ? kept : null;
  } catch {
    return null;
  }
}

export function keepDraft(form) {
  const values = boxes(form).map((one) => [
    one.name,
    one.type === "checkbox" ? [one.value, one.checked] : one.options ? [...one.selectedOptions].map((option) => [option.value, option.text]) : one.value,
  ]);
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ at: Date.now(), who: writer(), path: location.pathname, values }));
  } catch { /* a full or forbidden store costs the comfort, not the form */ }
}

// Before anything else looks at the form: a page of the house after a sent form means that it arrived, unless something came between.
export function takeDraft() {
  const kept = read();
  if (!kept) return;
  if (!document.querySelector(".m-shell")) {
    sessionStorage.setItem(KEY, JSON.stringify({ ...kept, interrupted: true }));
    return;
  }
  if (kept.who !== writer()) return sessionStorage.removeItem(KEY);
  const form = document.querySelector("[data-record]");
  if (kept.interrupted && (!form || location.pathname !== kept.path)) return;
  sessionStorage.removeItem(KEY);
  if (!kept.interrupted) return;
  const left = [...kept.values];
  form.dataset.restored = "";
  for (const one of boxes(form)) {
    const at = left.findIndex(([name, value]) => name === one.name && (one.type !== "checkbox" || value[0] === one.value));
    if (at < 0) continue;
    const [[, value]] = left.splice(at, 1);
    if (one.type === "checkbox") one.checked = value[1];
    else if (one.options) {
      for (const [key, text] of value) if (![...one.options].some((option) => option.value === key)) one.add(new Option(text, key));
      for (const option of one.options) option.selected = value.some(([key]) => key === option.value);
    } else one.value = value;
  }
}
