// A table that sorts, searches and shows its first rows. Nodes are kept from one update to the next, so that what is
// focused, selected or hovered stays so.
import { at, element, put } from "./dom.js";
import { known } from "./format.js";
import { numberButton, setNumber } from "./query.js";
import { drawBar, drawing, drawSpark } from "./spark.js";

const TOP = 15, MORE = 100;

// A word, or what to work out from the row.
const say = (words, row, context) => (typeof words === "function" ? words(row, context) : words);

export class Table {
  // Columns: see money.js. sort: [label, 1 or -1]; of(row): whose its numbers are; key(row): tells it from the others.
  constructor({ id, name, columns, of, key, sort, empty }) {
    const by = columns.findIndex(({ label }) => label === sort[0]);
    Object.assign(this, { name, columns, of, key, empty, by, way: sort[1], limit: TOP, rows: [], kept: new Map() });
    const words = { placeholder: `Search ${name}`, ariaLabel: `Search ${name}` };
    this.search = element("input", { className: "search", type: "search", oninput: () => this.draw(), ...words });
    this.count = element("output", { className: "count" });
    this.tools = element("p", { className: "tools", hidden: true }, this.search, this.count);
    this.more = element("button", { className: "more", type: "button", hidden: true, onclick: () => this.showMore() });
    this.none = element("p", { className: "none", textContent: "Loading…" });
    this.heads = columns.map((column, place) => this.head(column, place));
    this.body = element("tbody", { onkeydown: (event) => this.move(event) });
    this.body.addEventListener("focusin", ({ target }) => this.enterAt(target));
    this.table = element("table", { hidden: true }, element("thead", {}, element("tr", {}, ...this.heads)), this.body);
    const section = at(id);
    this.table.ariaLabel = section.querySelector("h2").textContent;
    section.append(this.tools, element("div", { className: "wide" }, this.table), this.more, this.none);
  }

  head({ label, title = "", format }, place) {
    const onclick = () => {
      this.way = this.by === place ? -this.way : format ? -1 : 1;
      this.by = place;
      this.draw();
    };
    const button = element("button", { type: "button", title, onclick }, label);
    return element("th", { scope: "col", className: format ? "num" : "" }, button);
  }

  showMore() {
    this.limit += MORE;
    this.draw();
  }

  update(rows, context) {
    Object.assign(this, { rows, context });
    this.draw();
  }

  draw() {
    const { rows, context, columns, name } = this, words = this.search.value.trim().toLowerCase();
    if (!context) return;
    const texts = columns.filter(({ format }) => !format);
    const found = rows.filter((row) => texts.some(({ value }) => value(row, context).toLowerCase().includes(words)));
    const values = new Map(found.map((row) => [row, columns[this.by].value(row, context)]));
    found.sort((a, b) => this.compare(values.get(a), values.get(b)) || (this.key(a) < this.key(b) ? -1 : 1));
    this.heads.forEach((cell, place) => {
      cell.ariaSort = place !== this.by ? "none" : this.way > 0 ? "ascending" : "descending";
    });
    this.fill(found.slice(0, this.limit));
    const rest = Math.max(0, found.length - this.limit);
    this.table.hidden = !found.length;
    this.tools.hidden = rows.length <= TOP;
    this.more.hidden = !rest;
    put(this.more, `Show ${Math.min(MORE, rest)} more`);
    put(this.count, `${rest ? `${this.limit} of ` : ""}${found.length} ${name}${words ? " found" : ""}`);
    put(this.none, found.length ? "" : words ? `There are no ${name} like that.` : this.empty);
  }

  // What is undefined comes last, whichever way.
  compare(a, b) {
    const missing = (x) => typeof x !== "string" && !known(x);
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return this.way * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  }

  fill(shown) {
    const { kept, body, columns, context } = this, keys = new Set(shown.map(this.key));
    const focused = document.activeElement;
    for (const [key, line] of kept) {
      if (!keys.has(key)) {
        line.remove();
        kept.delete(key);
      }
    }
    const formats = columns.map(({ format, value }) => format?.among(shown.map((row) => value(row, context)), context));
    shown.forEach((row, place) => {
      const line = kept.get(this.key(row)) ?? this.line(row), there = body.children[place] ?? null;
      if (there !== line) body.insertBefore(line, there);
      columns.forEach((column, cell) => this.fillCell(line.children[cell], column, row, formats[cell]));
    });
    if (document.activeElement !== focused && body.contains(focused)) focused.focus({ preventScroll: true });
    if (!body.querySelector('button[tabindex="0"]')) this.enterAt(body.querySelector("button"));
  }

  line(row) {
    const cells = this.columns.map(({ format, query, sub, spark, bar }, place) => {
      const cell = element(place ? "td" : "th", { className: format ? "num" : "" });
      if (!place) cell.scope = "row";
      if (spark || bar) cell.append(drawing(spark ? "spark" : "bar"));
      cell.append(query ? Object.assign(numberButton(), { tabIndex: -1 }) : element("span", { className: "text" }));
      if (sub) cell.append(element("small"));
      return cell;
    });
    const line = element("tr", {}, ...cells);
    this.kept.set(this.key(row), line);
    return line;
  }

  fillCell(cell, column, row, among) {
    const { context } = this, { format, query, sub, spark, bar } = column, value = column.value(row, context);
    if (query) {
      const defined = format ? known(value) : true;
      setNumber(cell.querySelector("button"), {
        name: `${column.label}, ${this.of(row)}`, query: query(row, context), act: column.act?.(row, context),
        text: defined ? (format ? among(value) : value) : undefined,
        exact: defined ? (format ? format.exact(value) : value) : undefined,
        why: say(column.why, row, context), note: say(column.note, row, context),
      });
    } else put(cell.querySelector(".text"), value);
    if (sub) put(cell.querySelector("small"), sub(row, context) ?? "");
    if (spark) drawSpark(cell.querySelector("svg"), spark(row, context), context.steps, format, column.top);
    if (bar) drawBar(cell.querySelector("svg"), ...bar(row, context));
  }

  // The Tab key comes to one number of the table; from there the arrows go on.
  enterAt(button) {
    if (!button?.matches("tbody .n")) return;
    for (const other of this.body.querySelectorAll('button[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  }

  move(event) {
    const cell = event.target.closest("td, th"), along = [...cell.parentNode.querySelectorAll("button")];
    const place = along.indexOf(event.target), other = (line) => line?.children[cell.cellIndex].querySelector("button");
    const to = {
      ArrowRight: () => along[place + 1], ArrowLeft: () => along[place - 1],
      Home: () => along[0], End: () => along.at(-1),
      ArrowDown: () => other(cell.parentNode.nextElementSibling),
      ArrowUp: () => other(cell.parentNode.previousElementSibling),
    }[event.key]?.();
    if (!to) return;
    event.preventDefault();
    to.focus();
  }
}
