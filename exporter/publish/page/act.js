// What somebody must do something about, in words. Nothing else on the page is red.
import { trouble } from "./budgets.js";
import { element } from "./dom.js";
import { down, wrong } from "./fleet.js";
import { known, span } from "./format.js";

const SHOWN = 8;
const UNSAVED = 60; // seconds

// Of a snapshot: [words, the section that says more, if there is one].
export function toAct(s) {
  const list = s.budgets.filter(trouble).map((row) => [`Budget ${row.budget} ${trouble(row)}.`, "budgets"]);
  for (const row of s.targets.filter(down)) {
    const since = known(row.last_success) ? `for ${span(s.time - row.last_success)}` : "and has never answered";
    list.push([`${row.target} is down ${since}: ${wrong(row)}`, "targets"]);
  }
  for (const { pool, unpriced_gpus: unpriced, refused_gpus: refused } of s.pools) {
    if (unpriced > 0) list.push([`Pool ${pool} has GPUs without a price: what they cost is not counted.`, "pools"]);
    if (refused > 0) list.push([`Pool ${pool} asks for GPUs that other pools hold: they are not counted.`, "pools"]);
  }
  const unsaved = s.time - s.ledger_last_save_timestamp_seconds;
  if (unsaved > UNSAVED) list.push([`The ledger was last saved ${span(unsaved)} ago: is its disk full or read-only?`]);
  const reload = "The config could not be reloaded, the old one is at work: the log says why.";
  if (s.config_last_reload_successful === 0) list.push([reload]);
  return list;
}

// How many there are.
export function drawAct(section, s) {
  const found = toAct(s), list = section.querySelector("ul"), rest = found.length - SHOWN;
  const shown = rest > 0 ? [...found.slice(0, SHOWN), [`And ${rest} more.`]] : found;
  section.hidden = !shown.length;
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach(([words, where], place) => {
    const line = list.children[place] ?? list.appendChild(element("li"));
    if (line.textContent === words) return;
    line.replaceChildren(where ? element("a", { href: `#${where}` }, words) : words);
  });
  return found.length;
}
