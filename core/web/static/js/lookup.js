// Links to other records: a select that asks the server while one types, so that no page ever carries all rows.
let loading;

function tomSelect() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../vendor/tom-select/tom-select.complete.min.js", import.meta.url);
    script.onload = () => resolve(window.TomSelect);
    script.onerror = reject;
    document.head.append(script);
  });
  return loading;
}

async function start(select) {
  const TomSelect = await tomSelect();
  const empty = (text) => {
    const part = document.createElement("div");
    part.className = "no-results";
    part.textContent = text;
    return part;
  };
  new TomSelect(select, {
    valueField: "id",
    labelField: "title",
    searchField: [],
    sortField: [{ field: "$order" }],
    maxOptions: 50,
    preload: "focus",
    plugins: select.multiple ? { remove_button: { title: select.dataset.remove } } : {},
    allowEmptyOption: false,
    loadThrottle: 200,
    shouldLoad: () => true,
    score: () => () => 1,
    load(words, done) {
      this.clearOptions((option) => this.items.includes(String(option.id)));
      fetch(`${select.dataset.lookup}?q=${encodeURIComponent(words)}`, { headers: { Accept: "application/json" } })
        .then((answer) => (answer.ok ? answer.json() : { results: [] }))
        .then((found) => done(found.results))
        .catch(() => done());
    },
    render: { no_results: () => empty(select.dataset.nothing), loading: () => empty("…") },
    onChange() { select.dispatchEvent(new Event("input", { bubbles: true })); },
  });
  // The hidden select stays in the accessibility tree; the visible box already speaks for it.
  select.setAttribute("aria-hidden", "true");
}

export function startLookups(root = document) {
  for (const select of root.querySelectorAll("select[data-lookup]:not(.tomselected)")) start(select);
}
