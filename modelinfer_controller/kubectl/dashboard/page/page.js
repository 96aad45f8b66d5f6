// The page: which view the address names, and the streams that keep it up to date. It only ever reads.

import { el, events, explanation, fleet, head, history, plan, tree } from "./views.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const opened = new Map();
const token = takeToken();
let leave = () => {};

// The token comes in the fragment, which no server sees, and is kept for this tab alone.
function takeToken() {
  const given = /^#token=(.+)$/.exec(location.hash);
  if (given) {
    sessionStorage.setItem("token", given[1]);
    replaceAddress("#/");
  }
  return sessionStorage.getItem("token") || "";
}

function replaceAddress(address) {
  window.history.replaceState(null, "", address);
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
  return answer;
}

// Server-sent events over fetch, since EventSource sends no header. Connects again by itself, later each time.
async function follow(path, onEvent, signal) {
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 8000)) {
    try {
      const answer = await ask(path, { signal });
      setConnection("live", "live");
      wait = 500;
      for await (const [name, content] of eventsOf(answer.body)) onEvent(name, content);
    } catch (error) {
      if (signal.aborted) return;
      setConnection("lost", error instanceof TypeError ? "connection lost" : error.message);
    }
    await new Promise((done) => setTimeout(done, wait));
  }
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const event of whole) {
      const lines = Object.fromEntries(event.split("\n").map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 2)]));
      if (lines.event) yield [lines.event, JSON.parse(lines.data)];
    }
  }
}

function setConnection(state, text) {
  connection.className = state;
  connection.textContent = text;
}

// New content in the place of the old; what had the focus has it again.
function fill(place, content) {
  const focused = document.activeElement && place.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") ? `[href="${CSS.escape(focused.getAttribute("href"))}"]` : null);
  const lists = [...place.querySelectorAll(".scroll")].map((list) => [list.scrollLeft, list.scrollTop]);
  place.replaceChildren(...[content].flat());
  if (key) place.querySelector(key)?.focus({ preventScroll: true });
  place.querySelectorAll(".scroll").forEach((list, at) => lists[at] && list.scrollTo(...lists[at]));
}

// -- views ------------------------------------------------------------------------------------------------------------

function showFleet(signal) {
  document.title = "ModelInfers";
  follow("/api/watch", (name, list) => fill(main, fleet(list)), signal);
}

function showOne(namespace, name, signal) {
  document.title = `${name} · ModelInfers`;
  const base = `/api/namespaces/${encodeURIComponent(namespace)}/modelinfers/${encodeURIComponent(name)}`;
  const places = Object.fromEntries(["head", "why", "tree", "timeline", "history"].map((key) => [key, el("div", { id: key })]));
  fill(main, [places.head, places.why, el("h3", {}, "Groups"), places.tree, el("h3", {}, "Timeline"), places.timeline,
    el("h3", {}, "Revisions"), places.history]);
  const seen = {};
  let drawing = null;
  const drawTimeline = async () => {
    try {
      const [picture, list] = await Promise.all([
        ask(`${base}/events.svg`, { signal }).then((answer) => answer.text()),
        ask(`${base}/events`, { signal }).then((answer) => answer.json())]);
      const svg = new DOMParser().parseFromString(picture, "image/svg+xml").documentElement;
      fill(places.timeline, [el("div", { cls: "card timeline scroll" }, document.importNode(svg, true)), events(list)]);
    } catch (error) {
      if (!signal.aborted) fill(places.timeline, el("p", { cls: "notice" }, error.message));
    }
  };
  follow(`${base}/watch`, (kind, content) => {
    if (kind === "Gone") {
      fill(main, [el("p", { cls: "notice bad" }, content.message), el("p", {}, el("a", { href: "#/" }, "Back to the fleet"))]);
      leave();
      return;
    }
    seen[kind] = content;
    if (kind === "Tree") fill(places.tree, tree(content, opened));
    if (kind === "Explanation") fill(places.why, explanation(content));
    if (kind === "History") fill(places.history, history(content));
    if (seen.Tree) fill(places.head, head(seen.Tree, seen.RolloutStatus));
    clearTimeout(drawing);
    drawing = setTimeout(drawTimeline, 250); // changes that come together are drawn once
  }, signal);
}

const EXAMPLE = `# Paste a ModelInfer: the page says what the controller would do. Nothing is sent to the cluster to be stored.
`;
let draft = EXAMPLE;

function showPlan(signal) {
  document.title = "Plan · ModelInfers";
  const text = el("textarea", { id: "manifest", spellcheck: "false", "aria-label": "The manifest" });
  text.value = draft;
  text.addEventListener("input", () => { draft = text.value; });
  const button = el("button", { id: "plan", type: "button" }, "Plan");
  const result = el("div", { id: "result", "aria-live": "polite" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const answer = await ask("/api/plan", { method: "POST", body: text.value, signal });
      fill(result, (await answer.json()).items.map(plan));
    } catch (error) {
      if (!signal.aborted) fill(result, el("p", { cls: "notice bad" }, error.message));
    } finally {
      button.disabled = false;
    }
  });
  fill(main, [el("h2", {}, "Plan a manifest"), el("p", { cls: "quiet" },
    "What the controller would do if it were applied, in order, and what that costs. It is not applied."),
  text, el("div", { cls: "actions" }, button), result]);
  setConnection("", "");
}

function route() {
  leave();
  const going = new AbortController();
  leave = () => going.abort();
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  for (const link of document.querySelectorAll("[data-nav]")) {
    if (link.dataset.nav === (parts[0] === "plan" && parts.length === 1 ? "plan" : parts.length ? "" : "fleet")) {
      link.setAttribute("aria-current", "page");
    } else link.removeAttribute("aria-current");
  }
  if (parts.length === 2) showOne(parts[0], parts[1], going.signal);
  else if (parts[0] === "plan") showPlan(going.signal);
  else showFleet(going.signal);
}

ask("/api/about").then((answer) => answer.json()).then((about) => {
  document.getElementById("scope").textContent = about.title;
  window.addEventListener("hashchange", route);
  route();
}).catch((error) => {
  setConnection("lost", "not connected");
  fill(main, el("p", { cls: "notice bad" }, error.message));
});
