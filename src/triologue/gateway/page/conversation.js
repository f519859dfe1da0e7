/** One session's conversation: events in, elements out. */

import { brief, byId, dollars, el, pretty, prose, textOf } from "./elements.js";
import { PermissionCard } from "./permission.js";

const TURNS = 200; // kept on the page
const ENTRIES = 500; // of one turn
const NEAR = 80; // pixels from the end, within which the view follows what comes

export class Conversation {
  #turns = new Map();
  #tools = new Map();
  #asked = new Map();
  #actions;
  #follows = true;

  /** Actions: `answer(id, allow)` and `cancel(turn)` return promises; `may(right)` tells what is allowed. */
  constructor(actions) {
    this.#actions = actions;
    this.log = byId("log");
    this.newest = byId("newest");
    this.log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.newest.addEventListener("click", () => this.#scrollToEnd());
  }

  /** How many permission requests are open here. */
  get asks() {
    return [...this.#asked.values()].filter((card) => card.isOpen).length;
  }

  /** Forget all of it; `text` says what is to come. */
  clear(text = "") {
    for (const kept of [this.#turns, this.#tools, this.#asked]) kept.clear();
    this.log.replaceChildren(...(text ? [el("p", { className: "empty", textContent: text })] : []));
    this.#follows = true;
    this.newest.hidden = true;
  }

  /** Show events, in their order. */
  take(events) {
    if (events.length) this.log.querySelector(":scope > .empty")?.remove();
    for (const event of events) {
      try {
        this.#one(event);
      } catch { // an agent may say anything, and what follows is shown all the same
        this.note(`Event ${event.seq ?? "without a number"} (${event.kind}) cannot be shown.`);
      }
    }
    if (this.#turns.size > TURNS) this.#dropOldest();
    if (this.#follows) this.#scrollToEnd();
    else this.newest.hidden = false;
  }

  /** A line about the page or the log itself; with `act`, it is a button. Returns its element. */
  note(text, act) {
    this.log.querySelector(":scope > .empty")?.remove();
    const line = act
      ? el("button", { type: "button", className: "button note", textContent: text, onclick: act })
      : el("p", { className: "note", textContent: text });
    this.log.append(line);
    if (this.#follows) this.#scrollToEnd();
    return line;
  }

  /** Text that was being made when the connection went will not be completed by partials. */
  dropLive() {
    for (const turn of this.#turns.values()) this.#endLive(turn);
  }

  /** Show an open request whose event is no longer kept, or has not come yet. */
  addPermission({ id, turn, tool, input }) {
    if (!this.#asked.has(id)) this.#ask(this.#turn(turn), id, tool, input);
    if (this.#follows) this.#scrollToEnd();
  }

  /** Bring a turn into view. */
  showTurn(id) {
    const box = this.#turns.get(id)?.box;
    box?.scrollIntoView({ block: "start" });
    box?.focus({ preventScroll: true });
  }

  #one({ turn: id, kind, message }) {
    switch (kind) {
      case "#turn_accepted":
        return this.#accepted(this.#turn(id), id, message);
      case "#turn_started":
        return this.#status(this.#turn(id), "running", "running");
      case "#turn_ended":
        return this.#ended(this.#turn(id), message);
      case "#permission_asked":
        return this.#ask(this.#turn(id), message.id, message.request.display_name ?? message.request.tool_name, message.request.input);
      case "#permission_answered":
        return this.#asked.get(message.id)?.settle(message);
      case "#gap":
        return this.note(`Events ${message.first} to ${message.last} cannot be shown: they are gone.`);
      case "stream_event":
        return message.parent_tool_use_id ? undefined : this.#partial(this.#turn(id), message.event);
      case "assistant":
        return this.#assistant(this.#turn(id), message);
      case "user":
        return this.#results(message);
    }
  }

  #turn(id) {
    const known = this.#turns.get(id);
    if (known) return known;
    const turn = { id, live: null, status: null, entries: el("div", { className: "entries" }) };
    turn.box = el("article", { className: "turn", tabIndex: -1, "aria-label": "Turn" }, turn.entries);
    this.#turns.set(id, turn);
    this.log.append(turn.box);
    return turn;
  }

  /** What stood in a turn goes with it. */
  #dropOldest() {
    while (this.#turns.size > TURNS) {
      const [id, turn] = this.#turns.entries().next().value;
      turn.box.remove();
      this.#turns.delete(id);
    }
    for (const [id, tool] of this.#tools) if (!tool.isConnected) this.#tools.delete(id);
    for (const [id, card] of this.#asked) if (!card.box.isConnected) this.#asked.delete(id);
  }

  #accepted(turn, id, { prompt }) {
    const said = el("div", { className: "asked" }, ...prose(textOf(prompt.message.content)));
    turn.box.prepend(said);
    this.#status(turn, "queued", "queued");
    if (this.#actions.may("prompt")) {
      const cancel = el("button", { type: "button", className: "button small", textContent: "Withdraw" });
      cancel.addEventListener("click", async () => {
        cancel.disabled = true;
        await this.#actions.cancel(id);
        cancel.disabled = false;
      });
      turn.status.append(cancel);
    }
  }

  #status(turn, state, text) {
    turn.status?.remove();
    turn.status = el("p", { className: "ending", "data-state": state }, text);
    turn.box.append(turn.status);
  }

  #ended(turn, { kind, cost_usd, error, reason, result }) {
    this.#endLive(turn);
    for (const tool of turn.box.querySelectorAll('.tool[data-state="running"]')) tool.dataset.state = "stopped";
    for (const card of this.#asked.values()) if (card.turn === turn.id) card.end();
    const why = kind === "answered" ? "" : error ? error.text : (reason ?? "");
    const took = result?.duration_ms >= 50 ? `${(result.duration_ms / 1000).toFixed(1)} s` : "";
    this.#status(turn, kind, [kind, took, cost_usd ? dollars(cost_usd) : "", brief(why, 400)].filter(Boolean).join(" · "));
  }

  #add(turn, node, parent) {
    const place = (parent && this.#tools.get(parent)?.querySelector(".inner")) || turn.entries;
    place.append(node);
    if (place.childElementCount > ENTRIES) place.firstElementChild.remove();
  }

  #assistant(turn, { message, parent_tool_use_id: parent }) {
    if (!parent) this.#endLive(turn);
    for (const block of message.content) {
      if (block.type === "text") this.#add(turn, el("div", { className: "said" }, ...prose(block.text)), parent);
      else if (block.type === "thinking") this.#add(turn, thinking(block.thinking), parent);
      else if (block.type === "tool_use") this.#add(turn, this.#tool(block), parent);
      else this.#add(turn, el("p", { className: "note", textContent: `[${block.type}]` }), parent);
    }
  }

  #tool({ id, name, input }) {
    const about = brief(typeof input === "object" && input ? Object.values(input).map(pretty).join(" ") : "", 100);
    const tool = el(
      "details",
      { className: "tool", "data-state": "running" },
      el("summary", {}, el("span", { className: "name", textContent: pretty(name) }), el("span", { className: "about", textContent: about })),
      el("h3", { textContent: "Input" }),
      el("pre", { className: "code", textContent: pretty(input) }),
      el("div", { className: "inner" }),
    );
    this.#tools.set(id, tool);
    return tool;
  }

  #results({ message }) {
    if (!Array.isArray(message.content)) return;
    for (const block of message.content) {
      const tool = block.type === "tool_result" ? this.#tools.get(block.tool_use_id) : undefined;
      if (!tool) continue;
      tool.dataset.state = block.is_error ? "failed" : "done";
      tool.append(el("h3", { textContent: block.is_error ? "Error" : "Result" }));
      tool.append(el("pre", { className: "code", textContent: textOf(block.content) }));
    }
  }

  #partial(turn, event) {
    if (event.type !== "content_block_delta") return;
    const { type, text, thinking: thought } = event.delta;
    const piece = type === "text_delta" ? text : type === "thinking_delta" ? thought : "";
    if (!piece) return;
    if (turn.live?.type !== type) {
      this.#endLive(turn);
      const words = document.createTextNode("");
      const className = type === "text_delta" ? "said live" : "thought live";
      turn.live = { type, words, box: el("div", { className }, el("p", { className: "prose" }, words)) };
      turn.entries.append(turn.live.box);
    }
    turn.live.words.appendData(piece);
  }

  /** What was shown while it was made gives way to the complete message. */
  #endLive(turn) {
    turn.live?.box.remove();
    turn.live = null;
  }

  #ask(turn, id, tool, input) {
    const card = this.#asked.get(id) ?? new PermissionCard({ id, turn: turn.id, tool, input }, this.#actions);
    this.#asked.set(id, card);
    turn.entries.append(card.box);
  }

  #onScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#follows) this.newest.hidden = true;
  }

  #scrollToEnd() {
    this.#follows = true;
    this.newest.hidden = true;
    this.log.scrollTop = this.log.scrollHeight;
  }
}

function thinking(text) {
  const summary = el("summary", {}, el("span", { className: "name", textContent: "thinking" }));
  return el("details", { className: "tool thought", "data-state": "done" }, summary, ...prose(text));
}
