/** Vis-à-vis's own page: three views and the address bar that says which one is open. */

import { setUpFoot } from "./access.js";
import { byId, showOnly } from "./dom.js";
import { ChooseView } from "./choose.js";
import { Library } from "./library.js";
import { MakeView } from "./make.js";
import { Settings } from "./settings.js";
import { StageView } from "./stage.js";

const library = new Library();
const settings = new Settings(
  (deviceId) => stage.useMicrophone(deviceId),
  (mood) => stage.useMood(mood),
);
const choose = new ChooseView(library);
const make = new MakeView(library, (record) => open(record));
const stage = new StageView(library, settings);
const views = [choose, make, stage];
let current = null;
let wish = 0; // the newest navigation wins

function enter(view, ...details) {
  if (current !== view) current?.leave();
  showOnly(view.element, views.map(({ element }) => element));
  document.title = "Vis-à-vis";
  const first = current === null;
  current = view;
  view.enter(...details);
  if (!first) view.title.focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
}

async function open(record) {
  await library.refresh().catch(() => {});
  location.hash = `avatar=${record.id}`;
}

async function route() {
  const mine = (wish += 1);
  const parameters = new URLSearchParams(location.hash.slice(1));
  if (parameters.has("new")) return enter(make);
  if (!parameters.has("avatar")) return enter(choose);
  const id = parameters.get("avatar");
  let problem = "This avatar does not exist any more. Choose another one.";
  if (!library.find(id)) {
    await library.refresh().catch((error) => (problem = error.message));
    if (mine !== wish) return;
  }
  const record = library.find(id);
  if (record?.refusal) problem = `${record.name} cannot be used now. ${record.refusal}`;
  else if (record?.status === "ready") return enter(stage, record);
  history.replaceState(null, "", location.pathname + location.search);
  enter(choose, problem);
}

byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address bar belongs to the views
  byId("main").focus();
});
setUpFoot();
addEventListener("hashchange", route);
route();
