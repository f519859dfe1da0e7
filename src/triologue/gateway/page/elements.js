/** Elements and the texts in them. Whatever comes from outside becomes a text node, and never markup. */

/**
 * Make an element. Properties that begin with `on` are listeners; names with a dash are attributes.
 * Children that are strings become text nodes.
 */
export function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key.includes("-")) node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** Seconds, in one unit that fits. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** US dollars; small ones with more digits. */
export function dollars(cost) {
  return `$${cost.toFixed(cost < 0.01 && cost > 0 ? 4 : 2)}`;
}

/** What a session waits for, without the ids that are there for programs. */
export const reason = (waitsFor) => (waitsFor ?? "").replace(/ \((request )?[\w-]{8,}\)/g, "");

/** JSON as people read it, and as it is: signs that turn others around, or that nobody sees, are written out. */
export const pretty = (value) => exact(typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** What nobody sees, or what moves other signs; but for lines, and for one that joins or varies a sign beyond ASCII. */
const JOINS = "(?<=[^\\0-\\x7f\\u200c\\u200d])[\\u200c\\u200d]";
const VARIES = "(?<=[^\\0-\\x7f\\u200c\\u200d\\ufe0e\\ufe0f])[\\ufe0e\\ufe0f]";
const UNSEEN = new RegExp(`(?!${JOINS}|${VARIES}|[\\n\\t])[\\p{DI}\\p{Cf}\\p{Cc}\\p{Zl}\\p{Zp}\\u2800]`, "gu");

/** Whoever approves reads what will run. */
const exact = (text) => text?.replace(UNSEEN, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);

/** A text on one line, cut. */
export function brief(text, limit = 90) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

/** A text with its fenced code set apart. */
export function prose(text) {
  const parts = text.split(/^```.*$/m);
  return parts
    .map((part, index) => [part.replace(/^\n|\n+$/g, ""), index % 2 === 1])
    .filter(([part]) => part !== "")
    .map(([part, isCode]) => el(isCode ? "pre" : "p", { className: isCode ? "code" : "prose", textContent: part }));
}

/** What a message's content says as text: it may be a text, or blocks. */
export function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return content === null || content === undefined ? "" : pretty(content);
  return content.map((block) => (block.type === "text" ? block.text : `[${block.type}]`)).join("\n");
}
