// A session that ended while a page was open: before a form is sent, and where a piece cannot come, one signs in again in a dialog,
// and what was typed and chosen goes on from there.
export function startAgain() {
  const dialog = document.getElementById("sign-in-again");
  if (!dialog) return;
  const form = dialog.querySelector("form");
  const told = dialog.querySelector("[data-told]");
  const code = dialog.querySelector("[data-code]");
  const mine = Number(dialog.dataset.person);
  const passed = new WeakSet();
  const asking = new WeakSet();
  let then = null;
  let busy = false;

  const renew = (token) => {
    for (const one of document.querySelectorAll("input[name=csrf_token]")) one.value = token;
  };
  const ask = async () => {
    const answer = await fetch("/login/alive", { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status);
    return answer.json();
  };
  // From the click until the next page is here one sees that something is under way; a file that comes instead does not tell.
  let tired;
  const sending = (whether) => {
    clearTimeout(tired);
    document.documentElement.toggleAttribute("data-sending", whether);
    if (whether) tired = setTimeout(sending, 10000, false);
  };
  const say = (sentence) => {
    told.textContent = sentence;
    told.parentElement.hidden = !sentence;
  };
  const open = (next) => {
    then = next;
    sending(false);
    say("");
    form.reset();
    code.hidden = true;
    code.querySelector("input").required = false;
    if (!dialog.open) dialog.showModal();
    form.elements.password.focus();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    try {
      const { token } = await ask();
      const sent = { person: mine, username: dialog.dataset.login, password: form.elements.password.value, code: form.elements.code.value || null };
      const answer = await fetch("/login/again", {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": token },
        body: JSON.stringify(sent),
      });
      const body = await answer.json();
      if (answer.ok) {
        renew(body.token);
        dialog.close("in");
        const next = then;
        then = null;
        next?.();
      } else {
        if (body.error === "second_factor_needed" && code.hidden) {
          code.hidden = false;
          code.querySelector("input").required = true;
          code.querySelector("input").focus();
        }
        say(body.message);
      }
    } catch {
      say(dialog.dataset.failed);
    } finally {
      busy = false;
    }
  });
  dialog.querySelector("[data-later]").addEventListener("click", () => { then = null; dialog.close(); });

  // Before the form's own handlers: they see the submission only when somebody is there to take it.
  document.addEventListener("submit", (event) => {
    const sent = event.target;
    const method = (event.submitter?.getAttribute("formmethod") ?? sent.method ?? "get").toLowerCase();
    if (method !== "post" || sent === form || passed.delete(sent)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    // Two clicks are one question.
    if (asking.has(sent)) return;
    asking.add(sent);
    sending(true);
    const { submitter } = event;
    const go = () => {
      passed.add(sent);
      sent.requestSubmit(submitter);
    };
    ask().then(({ person, token }) => {
      if (person === mine) {
        renew(token);
        go();
      } else {
        open(go);
        if (person) say(dialog.dataset.other);
      }
    }, go).finally(() => asking.delete(sent));
  }, true);
  window.addEventListener("submit", (event) => { if (event.defaultPrevented && event.target !== form) sending(false); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) sending(false); });
  document.addEventListener("htmx:response:error", (event) => {
    if (event.detail?.ctx?.response?.status === 401 || event.detail?.xhr?.status === 401) open(null);
  });
}
