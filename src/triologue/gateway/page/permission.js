/** A permission request, with its two buttons. */

import { el, pretty } from "./elements.js";

const SAID = {
  allow: "allowed", deny: "denied", expired: "denied: nobody answered in time", cancelled: "withdrawn", failed: "failed",
};

export class PermissionCard {
  #buttons;
  #wrong = el("p", { className: "note wrong", role: "alert", hidden: true });

  constructor({ id, turn, tool, input }, actions) {
    this.turn = turn;
    this.isOpen = true;
    const button = (text, className, allow) =>
      el("button", { type: "button", className: `button ${className}`, onclick: () => this.#answer(actions, id, allow) }, text);
    this.#buttons = actions.may("approve")
      ? el("div", { className: "buttons" }, button("Allow", "main", true), button("Deny", "warn", false))
      : el("p", { className: "note", textContent: "It waits for somebody who may approve." });
    this.box = el(
      "section",
      { className: "ask", "aria-label": `Permission for ${pretty(tool)}`, "data-state": "open" },
      el("p", {}, el("strong", { textContent: pretty(tool) }), " asks to run"),
      el("pre", { className: "code", textContent: pretty(input) }),
      this.#buttons,
      this.#wrong,
    );
  }

  /** It was answered, by whomever. */
  settle({ answer, by, reason }) {
    const who = by ? ` by ${by}` : "";
    this.#close(answer, `${SAID[answer] ?? answer}${who}${reason ? `: ${reason}` : ""}`);
  }

  /** Its turn is over. */
  end() {
    if (this.isOpen) this.#close("cancelled", SAID.cancelled);
  }

  #close(state, text) {
    this.isOpen = false;
    this.box.dataset.state = state;
    this.#wrong.hidden = true;
    const said = el("p", { className: "note", textContent: text });
    this.#buttons.replaceWith(said);
    this.#buttons = said;
  }

  async #answer(actions, id, allow) {
    this.#disable(true);
    try {
      await actions.answer(id, allow);
    } catch (error) {
      this.#wrong.textContent = error.message;
      this.#wrong.hidden = false;
      this.#disable(false);
    }
  }

  #disable(isDisabled) {
    for (const button of this.#buttons.querySelectorAll("button")) button.disabled = isDisabled;
  }
}
