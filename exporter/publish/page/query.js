// A number on the page is a button: it opens its exact value, why it is undefined or what to know of it, and the PromQL
// that gives it.

import { at, element } from "./dom.js";

const DASH = "—";
const facts = new WeakMap();

export const numberButton = () => element("button", { type: "button", className: "n" });

// fact: name (of what), text (undefined: a dash), exact, why (it is undefined), note (where it is not), query, act.
export function setNumber(button, fact) {
  facts.set(button, fact);
  const defined = fact.text !== undefined;
  const set = (property, value) => button[property] === value || (button[property] = value);
  set("textContent", defined ? fact.text : DASH);
  set("title", defined ? fact.exact : fact.why);
  set("ariaLabel", defined ? null : `not known: ${fact.why}`);
  button.classList.toggle("act", Boolean(fact.act));
}

function open(fact) {
  const defined = fact.text !== undefined;
  at("query-name").textContent = fact.name;
  at("query-value").textContent = defined ? fact.exact : DASH;
  at("query-why").textContent = (defined ? fact.note : fact.why) || "";
  at("query-text").textContent = fact.query;
  at("query-done").textContent = "";
  at("query").showPopover();
}

async function copy() {
  const range = document.createRange();
  range.selectNodeContents(at("query-text"));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  let done = true;
  try {
    await navigator.clipboard.writeText(at("query-text").textContent);
  } catch {
    done = document.execCommand("copy"); // a page over plain HTTP has no clipboard
  }
  at("query-done").textContent = done ? "Copied." : "Selected: copy it with the keyboard.";
}

export function listen() {
  document.addEventListener("click", (event) => {
    const fact = facts.get(event.target.closest?.("button.n"));
    if (fact) open(fact);
  });
  at("query-copy").addEventListener("click", copy);
}
