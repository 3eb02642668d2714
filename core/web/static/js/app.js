// The start of every page: each part of it wakes only when the page has it.
import { startAgain } from "./again.js";
import { startBell } from "./bell.js";
import { startDialogs } from "./dialogs.js";
import { takeDraft } from "./draft.js";
import { startForm } from "./form.js";
import { startLauncher } from "./launcher.js";
import { startList, startOrder } from "./list.js";
import { startLookups } from "./lookup.js";
import { rememberList, showPlace } from "./place.js";
import { startSmallThings } from "./small.js";

startAgain();
startSmallThings();
startDialogs();
startLauncher();
if (!document.querySelector("[data-record]")) takeDraft();
for (const form of document.querySelectorAll("[data-record]")) startForm(form);
startLookups();
for (const bell of document.querySelectorAll("[data-bell]")) startBell(bell);
for (const list of document.querySelectorAll("[data-list]")) {
  startList(list);
  rememberList(list);
}
for (const nav of document.querySelectorAll("[data-place]")) showPlace(nav);
for (const form of document.querySelectorAll("[data-order]")) startOrder(form);
const panel = document.querySelector("[data-filter-panel]");
if (panel) import("./filter.js").then(({ startFilter }) => startFilter(panel));
