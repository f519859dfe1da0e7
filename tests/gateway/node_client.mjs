// The story of `websockets_client.py`, with the WebSocket that Node.js has built in.
//
//     node --experimental-websocket node_client.mjs <url> <key> <leaves>

const [url, key, leaves] = process.argv.slice(2);
const FRAMES_BEFORE_LEAVING = 2;

const unsent = new Map([["t1", "story"], ["t2", "touch"]]);
const running = new Set(unsent.keys());
const told = { events: [], partials: 0, connections: 0, failed: [] };
let position = 0;
let leavesLeft = Number(leaves);
let number = 0;

function take({ seq, turn, kind, message }, ask) {
  if (kind === "stream_event") {
    told.partials += 1;
    return;
  }
  told.events.push([seq, turn, kind, message]);
  position = seq ?? message.last;
  if (kind === "#permission_asked") ask({ type: "answer", permission: message.id, allow: true });
  if (kind === "#turn_ended") running.delete(turn);
}

function connection() {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, ["triologue.v1"]);
    const ask = (request) => socket.send(JSON.stringify({ id: ++number, ...request }));
    let frames = 0;
    let isOver = false;
    socket.onopen = () => {
      told.connections += 1;
      socket.send(JSON.stringify({ type: "hello", client: "node" }));
      ask({ type: "attach", key, after: position });
      for (const [turn, prompt] of unsent) ask({ type: "prompt", key, prompt, turn });
    };
    socket.onmessage = ({ data }) => {
      if (isOver) return; // what came behind the last frame that counts, it did not see
      const frame = JSON.parse(data);
      if (frame.type === "events") {
        frames += 1;
        for (const event of frame.events) take(event, ask);
      }
      if (frame.type === "accepted") unsent.delete(frame.turn);
      if (frame.type === "failed") told.failed.push(frame.code);
      const isLeaving = leavesLeft > 0 && frames >= FRAMES_BEFORE_LEAVING && unsent.size === 0;
      if (isLeaving) leavesLeft -= 1;
      isOver = isLeaving || running.size === 0;
      if (isOver) socket.close();
    };
    socket.onclose = (event) => (isOver ? resolve() : reject(new Error(`closed: ${event.code} ${event.reason}`)));
  });
}

while (running.size > 0) await connection();
console.log(JSON.stringify(told));
