/** The page: which session is open, and who tells whom. */

import { Connection, Lost, Refused } from "./connection.js";
import { Conversation } from "./conversation.js";
import { byId, dollars, reason } from "./elements.js";
import { SessionList } from "./sessions.js";
import { Timeline } from "./timeline.js";

const HISTORY = 1000; // records that are shown of a session at first
const PAGES = 5; // of 1000 sessions each
const LOOK_EVERY = 2000; // milliseconds between two looks at the sessions
const LOOK_AT_MANY = 8000;

let rights = new Set();
let current = null; // { key, log, last, state, isAttached, liveFrom, isLive, asked }
let looking = 0;
let again = null; // the button that reads the session anew, where it could not be read
const unsent = new Map(); // by key: a prompt that was refused when another session, or another text, was there already

const connection = new Connection({ state: onLink, welcome: onWelcome, events: onEvents, detached: onDetached });
const list = new SessionList(choose);
const conversation = new Conversation({
  may: (right) => rights.has(right),
  answer: (permission, allow) => connection.request({ type: "answer", permission, allow }),
  cancel: (turn) => tell(connection.request({ type: "cancel", key: current.key, turn })),
});
const timeline = new Timeline((turn) => {
  show("session");
  conversation.showTurn(turn);
});

// The connection.

function onLink(state, detail) {
  const link = byId("link");
  if (state === "lost" && link.dataset.state === "ready") timeline.note("warn", "connection lost");
  link.dataset.state = state;
  link.textContent = { ready: detail, lost: "reconnecting", token: "token wanted", connecting: "connecting" }[state];
  if (state === "lost") conversation.dropLive();
  byId("send").disabled = state === "token";
  if (state === "token") askForToken(detail);
  else if (state === "ready") byId("door").close();
}

function askForToken(why) {
  const door = byId("door");
  if (why) byId("door-why").textContent = why;
  byId("token").value = "";
  if (!door.open) door.showModal();
}

function onWelcome(frame) {
  const isSame = frame.rights.length === rights.size && frame.rights.every((right) => rights.has(right));
  rights = new Set(frame.rights);
  if (current && isSame) resume();
  else {
    current = null; // what may be done here is another thing now, and so are the buttons
    onHash();
  }
  if (rights.has("watch")) look();
  else list.refuse("This token may not watch, so there is nothing to show.");
}

function onEvents(events) {
  if (!current?.isAttached) return; // they are of an attachment that another one takes the place of
  const mine = events.filter(({ key, seq }) => key === current.key && (seq === null || seq > current.last)).map(readable);
  if (!mine.length) return;
  for (const event of mine) {
    current.last = event.seq ?? (event.kind === "#gap" ? event.message.last : current.last);
    if (event.kind === "#state_changed") current.state = event.message.state;
    if (event.kind === "#permission_answered") current.asked = current.asked.filter(({ id }) => id !== event.message.id);
    timeline.take(event, current.isLive);
    if (current.last >= current.liveFrom) current.isLive = true;
  }
  conversation.take(mine);
  showAsked();
}

/** Requests that no event told of; behind the history, for the reply that names them comes ahead of that. */
function showAsked() {
  if (current.isLive) for (const asked of current.asked.splice(0)) conversation.addPermission(asked);
  showState();
}

/** A line that not every decoder takes comes as a string; this one reads most of those. */
function readable(event) {
  if (typeof event.message !== "string") return event;
  try {
    return { ...event, message: JSON.parse(event.message) };
  } catch {
    return event;
  }
}

function onDetached({ key, message }) {
  if (key !== current?.key) return;
  offerAgain(`${message}. Try again`);
}

// One session.

async function open(key) {
  if (current?.key === key) return;
  if (current) connection.request({ type: "detach", key: current.key }).catch(() => {});
  current = { key, log: null, last: null, state: list.get(key)?.state ?? "new", isAttached: false, liveFrom: 0, isLive: false, asked: [] };
  byId("title").textContent = key;
  for (const id of ["head", "compose"]) byId(id).hidden = false;
  byId("prompt").disabled = !rights.has("prompt");
  timeline.clear();
  conversation.clear("…");
  list.choose(key);
  showState();
  giveBack();
  await readOn();
}

/** From where it was. What is refused now may not be soon: a disk is busy, or a manager drains. */
async function readOn() {
  again?.remove();
  const { key } = current;
  const reading = current.last === null ? begin() : attach(current.last);
  reading.catch((error) => {
    if (error instanceof Refused && current?.key === key) offerAgain("Try again");
  });
  await tell(reading);
}

/** By one button: that of an attempt before goes. */
function offerAgain(text) {
  again?.remove();
  again = conversation.note(text, readOn);
}

/** The newest events of the session that was just opened. */
async function begin() {
  const { key } = current;
  conversation.clear("…"); // an attempt may have come half way
  const { last, log } = await connection.request({ type: "attach", key });
  if (current?.key !== key) return;
  current.log = log;
  const after = Math.max(0, last - HISTORY);
  if (after > 0) conversation.note("Show all from the beginning", () => tell(attach(0)));
  await attach(after);
}

/** The connection is there again. */
async function resume() {
  await readOn();
  timeline.note("good", "connected again");
}

/** Its events after this one. A reply comes before the events that follow it. */
async function attach(after) {
  const { key } = current;
  current.isAttached = false;
  const wanted = { type: "attach", key, after, log: current.log, coalesce_ms: 30 };
  const { state, last, log } = await connection.request(wanted);
  if (current?.key !== key) return;
  const isAnew = last < after || log !== (current.log ?? log); // nothing was kept of it, and it has begun again
  if (isAnew || after < (current.last ?? 0)) {
    timeline.clear();
    conversation.clear("…");
  }
  after = isAnew ? 0 : after;
  Object.assign(current, { state, log, last: after, liveFrom: last, isLive: last <= after, isAttached: true });
  showState();
  if (last === 0) conversation.clear("Nothing was said yet.");
  const open = await connection.request({ type: "permissions" });
  if (current?.key !== key) return;
  current.asked = open.permissions.filter((asked) => asked.key === key);
  showAsked();
}

function showState() {
  if (!current) return;
  const said = list.get(current.key);
  const { state } = current;
  byId("state").textContent = byId("state").dataset.state = state;
  const isBusy = ["starting", "running", "interrupting", "restarting"].includes(state);
  byId("waits").textContent = isBusy && said?.waits_for ? `waits for ${reason(said.waits_for)}` : "";
  byId("queue").textContent = said?.waiting ? `${said.waiting} queued` : "";
  byId("cost").textContent = said?.cost_usd ? dollars(said.cost_usd) : "";
  byId("interrupt").disabled = !isBusy || !rights.has("prompt");
  const asks = conversation.asks;
  document.title = `${asks ? `(${asks}) ` : ""}${current.key} – triologue`;
}

// All sessions.

async function look() {
  clearTimeout(looking);
  let count = 0;
  try {
    if (!document.hidden) count = await lookOnce();
  } catch (error) {
    if (!(error instanceof Lost)) tellError(error);
  }
  looking = setTimeout(look, count > 300 ? LOOK_AT_MANY : LOOK_EVERY);
}

async function lookOnce() {
  const found = [];
  let page = { is_last: false };
  for (let number = 0; number < PAGES && !page.is_last; number++) {
    page = await connection.request({ type: "list", after: found.at(-1)?.key ?? "", limit: 1000 });
    if (!page.sessions.length) break;
    found.push(...page.sessions);
  }
  list.show(found, page.is_last);
  showState();
  return found.length;
}

// What people do.

async function send() {
  const prompt = byId("prompt");
  const text = prompt.value.trim();
  if (!text || !current) return;
  prompt.value = "";
  grow();
  // With an id of its own it may be sent again after a lost connection, and runs once.
  const { key } = current;
  const frame = { type: "prompt", key, prompt: text, turn: newId() };
  try {
    await connection.request(frame, { again: true });
    byId("wrong").hidden = true;
  } catch (error) {
    unsent.set(key, text);
    if (current?.key === key) giveBack();
    tellError(error, current?.key === key ? "" : `${key}: `);
  }
}

/** What was not sent to this session is in its box again, unless something else is. */
function giveBack() {
  const prompt = byId("prompt");
  if (prompt.value || !unsent.has(current.key)) return;
  prompt.value = unsent.get(current.key);
  unsent.delete(current.key);
  grow();
}

/** `crypto.randomUUID` is there over HTTPS only. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function tell(promise) {
  byId("wrong").hidden = true; // now, and not at its end: what goes wrong meanwhile is to be read
  try {
    await promise;
  } catch (error) {
    tellError(error);
  }
}

function tellError(error, about = "") {
  if (!(error instanceof Refused) && !(error instanceof Lost)) throw error;
  byId("wrong").textContent = about + error.message;
  byId("wrong").hidden = false;
}

function show(pane) {
  document.body.dataset.pane = pane;
  for (const tab of document.querySelectorAll("[data-show]")) tab.setAttribute("aria-pressed", String(tab.dataset.show === pane));
}

/** The prompt box is as tall as its text, up to a bound that the style sets. */
function grow() {
  const box = byId("prompt");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function onHash() {
  const key = keyOf(location.hash.slice(1));
  if (!key || !rights.has("watch")) {
    show("sessions");
    return;
  }
  show("session");
  if (!document.activeElement?.checkVisibility()) byId("log").focus({ preventScroll: true }); // its pane is gone
  open(key);
}

/** Somebody wants to see this one; its address may be the page's already, while another pane is shown. */
function choose(key) {
  if (keyOf(location.hash.slice(1)) === key) onHash();
  else location.hash = encodeURIComponent(key);
}

function keyOf(hash) {
  try {
    return decodeURIComponent(hash);
  } catch {
    return ""; // somebody has typed it
  }
}

function onKey(event) {
  const isTyping = event.target.matches("input, textarea");
  if (event.key === "/" && !isTyping && !byId("door").open) {
    event.preventDefault();
    show("sessions");
    list.filter.focus();
  }
}

byId("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
byId("prompt").addEventListener("input", grow);
byId("interrupt").addEventListener("click", () => tell(connection.request({ type: "interrupt", key: current.key })));
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  connection.enter(byId("token").value.trim());
});
byId("door").addEventListener("cancel", (event) => event.preventDefault());
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("prompt").focus();
});
for (const tab of document.querySelectorAll("[data-show]")) tab.addEventListener("click", () => show(tab.dataset.show));
addEventListener("hashchange", onHash);
addEventListener("keydown", onKey);
connection.open();
