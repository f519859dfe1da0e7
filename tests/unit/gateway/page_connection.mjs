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
    this.hear({ type: "welcome", name: "ada", rights: [] });
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

function story(name, tell) {
  test(name, () => {
    mock.timers.enable({ apis: ["setInterval", "setTimeout", "Date"] });
    [sockets, kept, states] = [[], new Map([[TOKEN, "tri_1_secret"]]), []];
    const connection = new Connection({
      state: (name) => states.push(name),
      welcome() {},
      events() {},
      detached() {},
    });
    connection.open();
    try {
      tell();
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
