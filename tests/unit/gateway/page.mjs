// The page itself, over elements that only keep what they are given, and a gateway that says what the story wants.
//
//     node page.mjs <the page's folder>

import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

class Element {
  children = [];
  parent = null;
  dataset = {};
  style = {};
  textContent = "";
  value = "";
  #listeners = new Map();

  append(...children) {
    for (const child of children) this.insertBefore(child, null);
  }
  insertBefore(child, next) {
    if (typeof child === "string") return;
    child.remove();
    child.parent = this;
    this.children.splice(next ? this.children.indexOf(next) : this.children.length, 0, child);
  }
  prepend(child) {
    this.insertBefore(child, this.children[0]);
  }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((each) => each !== this);
    this.parent = null;
  }
  replaceChildren(...children) {
    for (const child of [...this.children]) child.remove();
    this.append(...children);
  }
  querySelector(wanted) {
    return this.children.find(({ className }) => wanted === `:scope > .${className}`) ?? null;
  }
  addEventListener(name, act) {
    this.#listeners.set(name, act);
  }
  click() {
    this.#listeners.get("click")({ target: this });
  }
  setAttribute() {}
  focus() {}
  close() {}
}

class Socket {
  constructor() {
    socket = this;
  }
  send(text) {
    said.push(JSON.parse(text));
  }
}

let socket = null;
let said = [];
const elements = new Map();

globalThis.document = {
  body: new Element(),
  addEventListener() {},
  createElement: () => new Element(),
  getElementById: (id) => elements.get(id) ?? elements.set(id, new Element()).get(id),
  querySelectorAll: () => [],
};
globalThis.addEventListener = () => {};
globalThis.location = { protocol: "https:", host: "gateway", hash: "#k" };
globalThis.sessionStorage = { getItem: () => null };
globalThis.WebSocket = Socket;
globalThis.setInterval = globalThis.setTimeout = () => 0; // nothing happens by itself
await import(pathToFileURL(`${process.argv[2]}/page.mjs`).href);

async function hear(frame) {
  socket.onmessage({ data: JSON.stringify(frame) });
  await new Promise(setImmediate);
}

/** Answer the newest request of this type. */
function answer(type, reply) {
  const { id } = said.findLast((frame) => frame.type === type);
  return hear({ re: id, ...reply });
}

const welcome = () => hear({ type: "welcome", name: "ada", rights: ["watch"], max_frame_bytes: 1000 });
const refuse = () => answer("attach", { type: "failed", code: "closed", message: "the disk is busy" });
const told = () => document.getElementById("log").children.map(({ textContent }) => textContent);

test("a session that cannot be read is offered once, however often that was tried", async () => {
  await welcome();
  await refuse();
  await welcome(); // the connection was lost in between
  await refuse();
  assert.deepEqual(told(), ["Try again"]);

  document.getElementById("log").children[0].click();
  await answer("attach", { type: "attached", state: "idle", last: 5000, log: "a" });
  await refuse(); // half way
  document.getElementById("log").children.at(-1).click();
  await answer("attach", { type: "attached", state: "idle", last: 5000, log: "a" });
  assert.deepEqual(told(), ["Show all from the beginning"]);

  await answer("attach", { type: "attached", state: "idle", last: 5000, log: "a" });
  await hear({ type: "detached", key: "k", message: "the disk is busy" });
  await hear({ type: "detached", key: "k", message: "the disk is full" });
  assert.deepEqual(told(), ["Show all from the beginning", "the disk is full. Try again"]);
  await welcome();
  assert.deepEqual(told(), ["Show all from the beginning"]);
});
