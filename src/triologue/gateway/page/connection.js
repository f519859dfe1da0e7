/** One socket to the gateway, which comes back by itself. */

const PROTOCOL = "triologue.v1";
const UNAUTHORIZED = 4401;
const TOKEN = "triologue.token";
const WAITS = [200, 500, 1000, 2000, 5000, 10000]; // milliseconds before each new attempt; the last one repeats
const PING_EVERY = 15000;
const SILENCE = 40000; // milliseconds without a frame, after which nobody is taken to be there, at first

/** The connection was lost before the reply came. */
export class Lost extends Error {}

/** The gateway refused a request; `code` says why, for programs. */
export class Refused extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

export class Connection {
  #socket = null;
  #isReady = false;
  #maxFrameBytes = 0;
  #nextId = 1;
  #attempts = 0;
  #retry = 0;
  #heardAt = 0;
  #pingedAt = 0;
  #welcomeAt = 0;
  #patience = SILENCE;
  #pending = new Map();
  #listeners;

  /** Listeners: `state(name, detail)`, `welcome(frame)`, `events(list)`, `detached(frame)`. */
  constructor(listeners) {
    this.#listeners = listeners;
    setInterval(() => this.#look(), PING_EVERY);
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  /** Connect, now. */
  open() {
    clearTimeout(this.#retry);
    this.#listeners.state("connecting", "");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1`, PROTOCOL);
    this.#socket = socket;
    this.#heardAt = Date.now();
    socket.onopen = () => this.#say({ type: "hello", token: sessionStorage.getItem(TOKEN), client: "page" });
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#lose(code, reason);
  }

  /** Use this token from now on; it is kept for this tab. */
  enter(token) {
    sessionStorage.setItem(TOKEN, token);
    this.#attempts = 0;
    this.open();
  }

  /**
   * Ask for something; resolves to the reply. With `again` it survives a lost connection: it is sent again then, so it
   * must be safe to be done twice.
   */
  request(frame, { again = false } = {}) {
    return new Promise((resolve, reject) => {
      if (!this.#isReady && !again) {
        reject(new Lost("not connected"));
        return;
      }
      const asked = { frame: { ...frame, id: this.#nextId++ }, resolve, reject, again };
      this.#pending.set(asked.frame.id, asked);
      if (this.#isReady) this.#ask(asked);
    });
  }

  /** What the gateway would not take ends the connection, each time that it is sent. */
  #ask({ frame, reject }) {
    const size = new TextEncoder().encode(JSON.stringify(frame)).length;
    if (size > this.#maxFrameBytes) {
      this.#pending.delete(frame.id);
      reject(new Refused({ message: `this takes ${size} bytes, and the gateway takes ${this.#maxFrameBytes} at most` }));
    } else this.#say(frame);
  }

  #say(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  #hear(frame) {
    this.#heardAt = Date.now();
    if (this.#isReady && this.#heardAt - this.#welcomeAt > this.#patience) this.#patience = SILENCE; // it works
    if (frame.type === "events") {
      this.#listeners.events(frame.events);
    } else if (frame.type === "welcome") {
      this.#welcome(frame);
    } else if (frame.type === "detached") {
      this.#listeners.detached(frame);
    } else {
      const asked = this.#pending.get(frame.re);
      this.#pending.delete(frame.re);
      if (frame.type === "failed") asked?.reject(new Refused(frame));
      else asked?.resolve(frame);
    }
  }

  #welcome(frame) {
    this.#isReady = true;
    this.#maxFrameBytes = frame.max_frame_bytes;
    this.#welcomeAt = Date.now();
    this.#attempts = 0;
    const unanswered = [...this.#pending.values()];
    this.#listeners.state("ready", frame.name);
    this.#listeners.welcome(frame);
    for (const asked of unanswered) this.#ask(asked);
  }

  #lose(code, reason) {
    const wasWelcome = this.#isReady;
    this.#isReady = false;
    this.#socket = null;
    for (const [id, asked] of this.#pending) {
      if (asked.again) continue;
      this.#pending.delete(id);
      asked.reject(new Lost("the connection was lost"));
    }
    // Of one that was welcome the token may have been given more rights, or more time: `hello` will tell.
    if (code === UNAUTHORIZED && !wasWelcome) {
      const had = sessionStorage.getItem(TOKEN) !== null;
      sessionStorage.removeItem(TOKEN);
      this.#listeners.state("token", had ? reason || "the token is not valid" : "");
      return;
    }
    const wait = WAITS[Math.min(this.#attempts++, WAITS.length - 1)];
    this.#listeners.state("lost", reason);
    this.#retry = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
  }

  /** Is anybody there? A laptop that slept is told by nobody that its connection is gone. */
  #look() {
    if (!this.#isReady) return;
    // A browser lets a minute and more pass between two looks of a tab that is hidden, and who was not asked is silent.
    if (this.#pingedAt > this.#heardAt && Date.now() - this.#heardAt > this.#patience) {
      // Nothing tells how much of a message has come. One that takes longer than this would be asked for again for ever.
      this.#patience *= 2;
      const socket = this.#socket;
      this.#lose(1006, "nothing was heard");
      socket.close();
    } else {
      this.#pingedAt = Date.now();
      this.request({ type: "ping" }).catch(() => {});
    }
  }

  #hurry() {
    if (this.#socket === null && this.#attempts > 0) this.open();
  }
}
