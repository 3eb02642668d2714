// The number at the bell: asked for now and then while somebody looks at the page, never in the background, and not kept alive by it.
const EVERY = 60_000;

export function startBell(bell) {
  const shown = bell.querySelector("[data-bell-count]");
  let asked = Date.now();
  let mark = `"${bell.dataset.bell}"`;
  let timer = null;

  const show = (count) => {
    const told = count > 99 ? "99+" : String(count);
    bell.dataset.bell = count;
    shown.textContent = told;
    shown.hidden = !count;
    bell.setAttribute("aria-label", count ? bell.dataset.bellSome.replace("{}", told) : bell.dataset.bellNone);
  };
  const ask = async () => {
    asked = Date.now();
    try {
      const answer = await fetch("/notifications/count", { headers: { Accept: "application/json", "If-None-Match": mark }, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) stop(true);
      if (!answer.ok) return;
      mark = answer.headers.get("ETag");
      show((await answer.json()).unread);
    } catch {
      // The server cannot be reached; the next turn asks again.
    }
  };
  const stop = (forGood = false) => {
    clearInterval(timer);
    timer = null;
    if (forGood) document.removeEventListener("visibilitychange", turn);
  };
  const turn = () => {
    if (document.hidden) return stop();
    if (Date.now() - asked >= EVERY) ask();
    timer ??= setInterval(ask, EVERY);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
}
