// The page's connection, on a clock that jumps and with a socket that says what a story wants.
//
//     node page_connection.mjs <connection.mjs>

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { pathToFileURL } from "node:url";

const TOKEN = "triologue.token";
const SECOND = 1000;

let sockets = [];
let kept = new Map();
let states = [];

class Socket {
  closed = false;
  said = [];
  constructor() {
    sockets.push(this);
  }
  send(text) {
    this.said.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  hear(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }
  welcome() {
    this.onopen();
    this.hear({ type: "welcome", name: "ada", rights: [], max_frame_bytes: 100 });
  }
  /** Answer the pings that have come so far. */
  pong() {
    for (const { type, id } of this.said.splice(0)) if (type === "ping") this.hear({ type: "pong", re: id });
  }
}

globalThis.WebSocket = Socket;
globalThis.location = { protocol: "https:", host: "gateway" };
globalThis.document = { hidden: false, addEventListener() {} };
globalThis.addEventListener = () => {};
globalThis.sessionStorage = {
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, value) => kept.set(name, value),
  removeItem: (name) => kept.delete(name),
};
const { Connection } = await import(pathToFileURL(process.argv[2]).href);

/** `rarely`: seconds between two runs of what is to run in an interval, at least, as in a tab that nobody looks at. */
function story(name, tell, { rarely = 0 } = {}) {
  test(name, () => {
    mock.timers.enable({ apis: ["setInterval", "setTimeout", "Date"] });
    const often = globalThis.setInterval;
    globalThis.setInterval = (act, wait) => often(act, Math.max(wait, rarely * SECOND));
    [sockets, kept, states] = [[], new Map([[TOKEN, "tri_1_secret"]]), []];
    const heard = [];
    const connection = new Connection({
      state: (name) => states.push(name),
      welcome() {},
      events: (events) => heard.push(...events),
      detached() {},
    });
    connection.open();
    try {
      return tell(heard, connection);
    } finally {
      mock.timers.reset();
    }
  });
}

function pass(seconds) {
  for (let second = 0; second < seconds; second++) mock.timers.tick(SECOND);
}

const newest = () => sockets.at(-1);

story("a token whose grant was changed is kept, and tried again", () => {
  newest().welcome();
  newest().onclose({ code: 4401, reason: "the token was changed" });
  pass(1);
  newest().welcome();
  assert.equal(newest().said[0].token, "tri_1_secret");
  assert.deepEqual(states, ["connecting", "ready", "lost", "connecting", "ready"]);
});

story("a token that was revoked is tried once more, and asked for", () => {
  newest().welcome();
  newest().onclose({ code: 4401, reason: "the token was revoked" });
  pass(1);
  newest().onopen();
  newest().onclose({ code: 4401, reason: "no token, or none that is valid" });
  pass(60);
  assert.equal(sockets.length, 2);
  assert.equal(states.at(-1), "token");
  assert.equal(kept.has(TOKEN), false);
});

story("a message that takes minutes comes through in the end", (heard) => {
  const seconds = 100; // that it takes, with every answer to a ping behind it
  for (let attempt = 1; !heard.length; attempt++) {
    assert.ok(attempt < 5, "it is asked for again and again");
    const socket = newest();
    socket.welcome();
    for (let second = 0; second < seconds && !socket.closed; second++) pass(1);
    if (socket.closed) pass(10);
    else socket.hear({ type: "events", events: ["long"] });
  }
  assert.deepEqual(heard, ["long"]);
});

story("where nothing is heard any more, that is seen as soon as at first once all went well for a while", () => {
  const times = [];
  for (let attempt = 0; attempt < 3; attempt++) {
    const socket = newest();
    socket.welcome();
    for (let second = 0; second < 300; second += 10) {
      pass(10);
      socket.pong();
    }
    const since = Date.now();
    while (!socket.closed) pass(1);
    times.push((Date.now() - since) / SECOND);
    pass(10);
  }
  assert.ok(times.every((time) => time <= 60), `${times}`);
});

story("what is longer than the gateway takes is refused, and not sent, now or with the next connection", (_, connection) => {
  const refused = [];
  const ask = (prompt) => connection.request({ type: "prompt", prompt }, { again: true }).catch((error) => refused.push(error));
  const early = ask("é".repeat(40));
  newest().welcome();
  const late = ask("é".repeat(40));
  ask("é".repeat(20));
  assert.deepEqual(newest().said.map(({ id }) => id), [undefined, 3]);
  return Promise.all([early, late]).then(() => {
    assert.deepEqual(refused.map(String), Array(2).fill("Error: this takes 116 bytes, and the gateway takes 100 at most"));
  });
});

function answerFor(minutes) {
  const socket = newest();
  socket.welcome();
  for (let second = 0; second < minutes * 60; second++) {
    pass(1);
    socket.pong();
  }
  assert.equal(socket.closed, false);
}

const hidden = { rarely: 60 };

story("a tab that the browser lets look once in a minute stays connected", () => answerFor(30), hidden);

story("it sees that nobody is there, too", () => {
  answerFor(5);
  pass(130);
  assert.equal(sockets[0].closed, true);
}, hidden);
