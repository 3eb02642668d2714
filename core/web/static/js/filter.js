// The filter panel: rows of field, comparison and value that become the JSON filter tree of the address.
import { startLookups } from "./lookup.js";

const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== null) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

export function startFilter(panel) {
  const { fields, ops, texts } = JSON.parse(panel.querySelector("[data-filter-fields]").textContent);
  const rows = panel.querySelector("[data-conditions]");
  const join = panel.querySelector("[data-join]");
  const kept = [];
  let number = 0;

  const select = (label, options, chosen) => {
    const made = make("select", { class: "form-select", "aria-label": label });
    for (const [value, text] of options) {
      const option = make("option", { value }, text);
      option.selected = value === chosen;
      made.append(option);
    }
    return made;
  };

  function valueControls(field, op, value) {
    if (op === "empty" || op === "not_empty") return [];
    const kind = field.input;
    const several = op === "in" || op === "not_in" ? value ?? [] : value;
    if (kind === "choice" || kind === "yesno") {
      const options = kind === "yesno" ? [["true", texts.yes], ["false", texts.no]] : field.options;
      const list = Array.isArray(several);
      const made = select(texts.value, options, list ? undefined : String(value ?? ""));
      if (op === "in" || op === "not_in") {
        made.multiple = true;
        made.size = Math.min(6, options.length);
        for (const option of made.options) option.selected = several.map(String).includes(option.value);
      }
      return [made];
    }
    if (kind === "link") {
      number += 1;
      const made = make("select", { class: "form-select", id: `filter-link-${number}`, "data-lookup": field.lookup, "data-nothing": texts.nothing, "aria-label": texts.value });
      if (op === "in" || op === "not_in") made.multiple = true;
      for (const one of [value ?? []].flat()) made.append(make("option", { value: one, selected: "" }, field.titles?.[one] ?? (one === "me" ? texts.me : `#${one}`)));
      return [made];
    }
    const type = kind === "date" ? "date" : kind === "datetime" ? "datetime-local" : "text";
    const box = (text, label) => make("input", { class: "form-control", type, value: text ?? "", "aria-label": label, inputmode: kind === "number" ? "decimal" : undefined });
    if (kind === "date" || kind === "datetime") {
      if (value && typeof value === "object" && "days" in value) {
        return [make("input", { class: "form-control", type: "number", value: value.days, "data-days": "1", "aria-label": texts.days }), make("span", { class: "m-xs m-faint" }, texts.days)];
      }
    }
    if (op === "between") return [box(value?.[0], texts.from), box(value?.[1], texts.to)];
    if (op === "in" || op === "not_in") return [make("input", { class: "form-control", value: (value ?? []).join(", "), "aria-label": texts.several, placeholder: texts.several })];
    return [box(value, texts.value)];
  }

  function add(leaf = {}) {
    const one = fields.find((field) => field.name === leaf.field) ?? fields[0];
    const row = make("li", { class: "m-condition" });
    const which = select(texts.field, fields.map((field) => [field.name, field.label]), one.name);
    const how = make("div", { class: "m-condition-how" });
    const away = make("button", { class: "m-icon-btn", type: "button", "aria-label": texts.remove }, make("i", { class: "ti ti-x", "aria-hidden": "true" }));
    const head = make("div", { class: "m-bar" }, which, away);
    const draw = (field, op, value) => {
      const comparison = select(texts.comparison, field.ops.map((name) => [name, (field.words ?? ops)[name]]), op);
      const values = make("div", { class: "m-condition-value m-bar" }, ...valueControls(field, op, value));
      comparison.addEventListener("change", () => draw(field, comparison.value));
      how.replaceChildren(comparison, values);
      startLookups(values);
    };
    which.addEventListener("change", () => {
      const field = fields.find((each) => each.name === which.value);
      draw(field, field.ops[0]);
    });
    away.addEventListener("click", () => row.remove());
    row.append(head, how);
    rows.append(row);
    draw(one, leaf.op ?? one.ops[0], leaf.value);
    return row;
  }

  function leafOf(row) {
    const [which, how] = row.querySelectorAll(":scope > .m-bar select, :scope > .m-condition-how > select");
    const field = fields.find((each) => each.name === which.value);
    const leaf = { field: field.name, op: how.value };
    if (leaf.op === "empty" || leaf.op === "not_empty") return leaf;
    const parts = [...row.querySelectorAll(".m-condition-value input:not([tabindex='-1']):not(.ts-wrapper input), .m-condition-value > select")];
    const typed = (text) => (field.input === "yesno" ? text === "true" : field.input === "link" && text !== "me" ? Number(text) : text);
    const [first, second] = parts;
    if (!first) return null;
    if (first.dataset.days) return first.value === "" ? null : { ...leaf, value: { days: Number(first.value) } };
    if (first.multiple) leaf.value = [...first.selectedOptions].map((option) => typed(option.value));
    else if (leaf.op === "between") leaf.value = [first.value, second.value];
    else if (leaf.op === "in" || leaf.op === "not_in") leaf.value = first.value.split(/[,，、;]/).map((text) => text.trim()).filter(Boolean);
    else leaf.value = first.value === "" ? "" : typed(first.value);
    const nothing = Array.isArray(leaf.value) ? !leaf.value.length || leaf.value.includes("") : leaf.value === "";
    return nothing ? null : leaf;
  }

  const form = panel.querySelector("form");
  const hidden = form.elements.filter;
  let tree = null;
  try { tree = hidden.value ? JSON.parse(hidden.value) : null; } catch { tree = null; }
  if (tree) {
    const group = tree.or ? "or" : "and";
    join.value = group;
    for (const node of tree.and ?? tree.or ?? [tree]) {
      if (node.field && fields.some((field) => field.name === node.field)) add(node); else kept.push(node);
    }
    panel.querySelector("[data-kept]").hidden = !kept.length;
  }
  if (!rows.children.length && fields.length) add();
  panel.querySelector("[data-add]").addEventListener("click", () => add().querySelector("select").focus());
  form.addEventListener("submit", () => {
    const leaves = [...[...rows.children].map(leafOf).filter(Boolean), ...kept];
    hidden.value = leaves.length ? JSON.stringify({ [join.value]: leaves }) : "";
    for (const name of ["filter", "q", "order", "group"]) form.elements[name].disabled = !form.elements[name].value;
  });
}
