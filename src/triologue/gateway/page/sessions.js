/** The list of sessions: what there is, how it is, and the one that was typed. */

import { byId, dollars, duration, el, reason } from "./elements.js";

const SHOWN = 200;

export class SessionList {
  #sessions = [];
  #rows = new Map();
  #current = null;
  #isComplete = true;
  #open;

  /** `open(key)` is called when somebody chooses one. */
  constructor(open) {
    this.#open = open;
    this.filter = byId("filter");
    this.list = byId("sessions");
    this.filter.addEventListener("input", () => this.#render());
    this.filter.addEventListener("keydown", (event) => this.#onFilterKey(event));
    this.list.addEventListener("keydown", (event) => this.#onListKey(event));
  }

  /** Show these; `isComplete` is false where there are more than were asked for. */
  show(sessions, isComplete) {
    this.#sessions = sessions;
    this.#isComplete = isComplete;
    this.#render();
  }

  /** There is nothing to show, for this reason. */
  refuse(text) {
    this.show([], true);
    byId("more").textContent = text;
  }

  /** Mark this one as chosen. */
  choose(key) {
    this.#current = key;
    this.#render();
  }

  /** What is known of a session; undefined for a new one. */
  get(key) {
    return this.#sessions.find((each) => each.key === key);
  }

  #render() {
    const typed = this.filter.value.trim();
    const wanted = typed.toLowerCase();
    const found = this.#sessions.filter((each) => each.key.toLowerCase().includes(wanted));
    found.sort((a, b) => (b.permissions > 0) - (a.permissions > 0) || (b.age ?? -1) - (a.age ?? -1));
    const shown = found.slice(0, SHOWN);
    const rows = shown.map((each) => this.#row(each));
    if (typed && !this.#sessions.some((each) => each.key === typed)) rows.push(this.#newRow(typed));
    const kept = new Set(shown.map((each) => each.key));
    for (const key of this.#rows.keys()) if (!kept.has(key)) this.#rows.delete(key);
    place(this.list, rows);
    const more = found.length - shown.length;
    const note = byId("more");
    note.hidden = more === 0 && this.#isComplete && this.#sessions.length > 0;
    note.textContent =
      this.#sessions.length === 0 && !typed
        ? "No session yet. Type a name to begin one."
        : `${more > 0 ? `${more} more match. ` : ""}${this.#isComplete ? "" : "There are more than are listed. "}Type to find.`;
    if (note.textContent === "Type to find.") note.hidden = true;
  }

  /** A row is changed in place, so that it keeps the focus. */
  #row(said) {
    const row = this.#rows.get(said.key) ?? this.#newlyMade(said.key);
    this.#rows.set(said.key, row);
    row.button.setAttribute("aria-current", String(said.key === this.#current));
    set(row.state, said.state);
    row.state.dataset.state = said.state;
    set(row.asks, said.permissions ? `asks ${said.permissions}` : "");
    set(row.waits, reason(said.waits_for));
    set(row.queue, said.waiting ? `${said.waiting} queued` : "");
    set(row.age, said.age === null ? "" : duration(said.age));
    set(row.cost, said.cost_usd ? dollars(said.cost_usd) : "");
    return row.item;
  }

  #newlyMade(key) {
    const part = (className) => el("span", { className });
    const row = {
      state: part("state"), asks: part("asks"), waits: part("waits"),
      queue: part("queue"), age: part("age"), cost: part("cost"),
    };
    row.button = el(
      "button",
      { type: "button", className: "row", title: key, onclick: () => this.#open(key) },
      el("span", { className: "key", textContent: key }),
      row.asks, row.age,
      el("span", { className: "about" }, row.state, row.queue, row.cost, row.waits),
    );
    row.item = el("li", {}, row.button);
    return row;
  }

  #newRow(key) {
    const button = el("button", { type: "button", className: "row new", onclick: () => this.#open(key) });
    const about = el("span", { className: "about", textContent: "Begin a new session" });
    button.append(el("span", { className: "key", textContent: key }), about);
    return el("li", {}, button);
  }

  #onFilterKey(event) {
    if (event.key === "Enter") this.list.querySelector("button")?.click();
    else if (event.key === "ArrowDown") this.list.querySelector("button")?.focus();
    else if (event.key === "Escape") {
      this.filter.value = "";
      this.#render();
    } else return;
    event.preventDefault();
  }

  #onListKey(event) {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = event.target.closest("li")?.[step];
    (next?.querySelector("button") ?? (event.key === "ArrowUp" ? this.filter : event.target)).focus();
  }
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make these the children, and touch only what is elsewhere: whoever is moved loses the focus. */
function place(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}
