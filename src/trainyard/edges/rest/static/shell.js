// A terminal over the WebSocket at this page's own address: binary messages are what is typed and printed, text is JSON.
import { Terminal } from "/docs/shell/xterm.mjs";
import { FitAddon } from "/docs/shell/addon-fit.mjs";

const by = id => document.getElementById(id);
const [, job, replica] = decodeURIComponent(location.pathname).match(/^\/trainyard\/v1\/(.+)\/shells\/(.+)$/);
const stage = new URLSearchParams(location.search).get("stage");
const terminal = new Terminal({ cursorBlink: true, scrollback: 10000, fontSize: 14, theme: { background: "#15171a" } });
const fit = new FitAddon();
const encoder = new TextEncoder();
let socket = null, token = "", behind = 0, paused = false;

by("replica").textContent = replica;
by("job").textContent = job;
document.title = `${replica} of ${job.split("/").pop()} · Trainyard`;
terminal.loadAddon(fit);
terminal.open(by("terminal"));
fit.fit();
new ResizeObserver(() => fit.fit()).observe(by("terminal"));

function say(words, bad = false) {
  by("said").textContent = words;
  by("said").className = bad ? "bad" : "";
}

function send(data) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(data);
}

function type(bytes) {
  for (let start = 0; start < bytes.length; start += 65536) send(bytes.subarray(start, start + 65536));
}

function print(bytes) {
  // Drawing is slower than the network: what is not drawn yet must not fill the page.
  behind += bytes.length;
  if (behind > 1 << 20 && !paused) pause(true);
  terminal.write(bytes, () => {
    behind -= bytes.length;
    if (behind < 1 << 18 && paused) pause(false);
  });
}

function pause(now) {
  paused = now;
  send(JSON.stringify({ paused }));
}

async function whyNot() {
  // A WebSocket that is refused does not say why; the same address says it to who asks without one.
  const headers = { Accept: "text/plain", ...(token && { Authorization: `Bearer ${token}` }) };
  const answer = await fetch(location.pathname + location.search, { headers });
  by("who").hidden = answer.status !== 401;
  if (answer.ok) return "";
  if (answer.status !== 401) return (await answer.json()).error.message;
  by("token").focus();
  return token ? "That token is not, or no longer, one." : "This service asks who you are.";
}

async function open() {
  by("again").hidden = true;
  try {
    const why = await whyNot();
    if (why) return over(why);
  } catch {
    return over("The service does not answer.");
  }
  const address = new URL(location.pathname, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const said = { rows: terminal.rows, columns: terminal.cols, ...(stage && { stage }), ...(token && { access_token: token }) };
  for (const [name, value] of Object.entries(said)) address.searchParams.set(name, value);
  let words = "The connection to the shell was lost, and the shell with it; the job goes on.", bad = true;
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { paused = false; say("Open; the job goes on when you leave it."); terminal.focus(); };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return print(new Uint8Array(data));
    const code = JSON.parse(data).exit;
    [words, bad] = code === null ? ["The shell has ended.", true] : [`The shell has ended with ${code}.`, code !== 0];
  };
  socket.onclose = event => over(event.reason || words, bad);
}

function over(words, bad = true) {
  socket = null;
  say(words, bad);
  by("again").hidden = !by("who").hidden;
}

terminal.onData(text => type(encoder.encode(text)));
terminal.onBinary(text => type(Uint8Array.from(text, each => each.charCodeAt(0))));
terminal.onResize(({ rows, cols }) => send(JSON.stringify({ rows, columns: cols })));
by("again").addEventListener("click", open);
by("who").addEventListener("submit", event => {
  event.preventDefault();
  token = by("token").value.trim();
  by("token").value = "";
  open();
});
open();
