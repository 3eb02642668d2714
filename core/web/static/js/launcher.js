// The launcher: every module and page, found by typing, walked by arrow keys; Alt-M and Ctrl-K open it.
const spread = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 3, ArrowUp: -3 };

export function startLauncher() {
  const dialog = document.getElementById("launcher");
  if (!dialog) return;
  const search = dialog.querySelector("input[type=search]");
  const items = [...dialog.querySelectorAll(".m-launch-item")];
  const nothing = dialog.querySelector("[data-nothing]");
  const shown = () => items.filter((item) => !item.hidden);
  const choose = (item) => {
    for (const other of items) other.classList.toggle("on", other === item);
    item?.scrollIntoView({ block: "nearest" });
  };
  const find = () => {
    const words = search.value.trim().toLowerCase();
    for (const item of items) item.hidden = !item.dataset.words.toLowerCase().includes(words);
    for (const group of dialog.querySelectorAll("[data-group]")) group.hidden = !group.querySelector(".m-launch-item:not([hidden])");
    nothing.hidden = shown().length > 0;
    choose(words ? shown()[0] : null);
  };
  const open = () => {
    search.value = "";
    find();
    if (!dialog.open) dialog.showModal();
    search.focus();
  };
  search.addEventListener("input", find);
  dialog.addEventListener("keydown", (event) => {
    const rows = shown();
    const at = rows.findIndex((item) => item.classList.contains("on"));
    if (event.key === "Enter" && document.activeElement === search && at >= 0) {
      event.preventDefault();
      rows[at].click();
    } else if (event.key in spread && (document.activeElement === search ? !["ArrowLeft", "ArrowRight"].includes(event.key) || !search.value : true)) {
      event.preventDefault();
      const step = matchMedia("(max-width: 767px)").matches ? Math.sign(spread[event.key]) : spread[event.key];
      choose(rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step))]);
    }
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-launcher]");
    if (!opener || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (dialog.open) dialog.close(); else open();
  });
  document.addEventListener("keydown", (event) => {
    const wanted = (event.altKey && event.code === "KeyM") || ((event.ctrlKey || event.metaKey) && event.code === "KeyK");
    if (!wanted) return;
    event.preventDefault();
    open();
  });
}
