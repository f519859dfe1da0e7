/** What the manager did with one session, a line each. */

import { brief, byId, dollars, el, textOf } from "./elements.js";

const KEPT = 500;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** What a line says of an event; its tone, its word, and the rest. Nothing for what the agent said. */
const LINES = {
  "#turn_accepted": ({ prompt }) => ["", "accepted", brief(textOf(prompt.message.content), 60)],
  "#turn_started": () => ["", "started", ""],
  "#turn_ended": ({ kind, cost_usd, reason, error }) => [
    kind === "answered" || kind === "merged" ? "good" : kind === "failed" || kind === "lost" ? "bad" : "warn",
    kind,
    [cost_usd ? dollars(cost_usd) : "", kind === "answered" ? "" : brief(error?.text ?? reason ?? "")].filter(Boolean).join(" · "),
  ],
  "#state_changed": ({ state, reason }) => [state === "failed" ? "bad" : "", state, brief(reason ?? "")],
  "#permission_asked": ({ request }) => ["warn", "asks", request.display_name ?? request.tool_name],
  "#permission_answered": ({ answer, by, reason }) => [
    answer === "allow" ? "good" : "warn",
    answer,
    [by ? `by ${by}` : "", reason ? brief(reason) : ""].filter(Boolean).join(" · "),
  ],
  "#callback_failed": ({ request, error }) => ["bad", "callback failed", `${request}: ${brief(error)}`],
  "#cost_warning": ({ cost_usd, limit_usd }) => ["warn", "cost", `${dollars(cost_usd)} of ${dollars(limit_usd)}`],
  "#gap": ({ first, last }) => ["warn", "gap", `${first} to ${last} cannot be shown`],
};

export class Timeline {
  /** `show(turn)` is called when somebody wants to see a turn. */
  constructor(show) {
    this.list = byId("timeline");
    this.show = show;
  }

  clear() {
    this.list.replaceChildren();
  }

  /** Enter an event, if it is one of the manager's. `isLive`: it happens now. */
  take({ seq, turn, kind, message }, isLive) {
    if (!Object.hasOwn(LINES, kind)) return; // an agent may call its messages what it likes, "constructor" too
    const about = { turn, at: isLive ? clock.format(new Date()) : seq === null ? "" : `#${seq}` };
    try {
      this.#add(LINES[kind](message), about);
    } catch {
      this.#add(["warn", kind.slice(1), "cannot be shown"], about);
    }
  }

  /** Enter what happened to this page. */
  note(tone, word) {
    this.#add([tone, word, ""], { turn: null, at: clock.format(new Date()) });
  }

  #add([tone, word, rest], { turn, at }) {
    const said = [
      el("span", { className: "at", textContent: at }),
      el("span", { className: "word", textContent: word }),
      el("span", { className: "rest", textContent: rest }),
    ];
    const inside = turn
      ? el("button", { type: "button", className: "line", title: `turn ${turn}`, onclick: () => this.show(turn) }, ...said)
      : el("div", { className: "line" }, ...said);
    this.list.prepend(el("li", { "data-tone": tone }, inside));
    if (this.list.childElementCount > KEPT) this.list.lastElementChild.remove();
  }
}
