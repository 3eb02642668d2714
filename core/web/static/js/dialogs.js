// Panels and dialogs: opened by data-open, closed by data-close, Escape or a click beside them.
export function startDialogs() {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener) {
      event.preventDefault();
      const dialog = document.getElementById(opener.dataset.open);
      dialog?.showModal();
      dialog?.querySelector("[data-start] :is(select, input)")?.focus();
      return;
    }
    const closer = event.target.closest("[data-close]");
    if (closer) {
      (closer.closest("dialog") ?? closer.closest("[data-toast]"))?.dispatchEvent(new CustomEvent("m-close"));
      closer.closest("dialog")?.close();
      closer.closest("[data-toast]")?.remove();
      return;
    }
    if (event.target instanceof HTMLDialogElement && event.target.open) event.target.close();
    for (const menu of document.querySelectorAll("details[data-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}
