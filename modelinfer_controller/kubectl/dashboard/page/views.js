// What the documents of the verbs look like. Every text is set as text: nothing that the cluster says becomes markup.

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") made.style.cssText = value;
    else made.setAttribute(name === "cls" ? "class" : name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export function span(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  if (whole < 120) return `${whole}s`;
  if (whole < 7200) return `${Math.floor(whole / 60)}m`;
  if (whole < 172800) return `${Math.floor(whole / 3600)}h`;
  return `${Math.floor(whole / 86400)}d`;
}

const age = (time, now) => (time ? span((Date.parse(now) - Date.parse(time)) / 1000) : "");
const hash = (revision) => revision.slice(revision.lastIndexOf("-") + 1);
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const BUSY = new Set(["Replacing", "Removing", "WaitingForTermination", "CreatingPods", "PodsNotReady", "Scheduling",
  "ContainerCreating", "Pending", "NotReady", "Terminating", "Missing", "Progressing", "Paused", "Draining"]);

export function ordinals(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const runs = [];
  for (const number of sorted) {
    const last = runs[runs.length - 1];
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(", ");
}

const groupsText = (numbers) => `${numbers.length === 1 ? "group" : "groups"} ${ordinals(numbers)}`;
const tone = (word, isGood) => (isGood ? "good" : BUSY.has(word) ? "busy" : "bad");
const pill = (text, kind) => el("span", { cls: `pill ${kind}` }, text);

function meter(part, whole) {
  const share = whole ? Math.min(part / whole, 1) : 1;
  return el("span", { cls: `meter ${part < whole ? "short" : ""}`, "aria-hidden": "true" },
    el("i", { style: `width:${(share * 100).toFixed(0)}%` }));
}

function table(heads, rows, cls = "") {
  return el("div", { cls: `card scroll ${cls}` },
    el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", {}, head)))), el("tbody", {}, rows)));
}

// -- the fleet --------------------------------------------------------------------------------------------------------

export function fleet(list) {
  const items = list.items;
  const sum = (field) => items.reduce((total, item) => total + item[field], 0);
  const unwell = items.filter((item) => !item.isWell).length;
  const rolling = items.filter((item) => item.state === "Progressing").length;
  const tile = (number, words) => el("div", { cls: "card tile" }, el("b", {}, number), el("span", {}, words));
  const tiles = el("div", { cls: "tiles" },
    tile(`${items.length}`, items.length === 1 ? "ModelInfer" : "ModelInfers"),
    tile(`${unwell}`, "not well"),
    tile(`${sum("availableGroups")} / ${sum("replicas")}`, "groups available"),
    tile(`${sum("readyPods")} / ${sum("podCount")}`, "pods ready"),
    tile(`${rolling}`, rolling === 1 ? "rollout under way" : "rollouts under way"));
  if (!items.length) return [tiles, el("p", { cls: "quiet" }, "There are no ModelInfers here.")];
  return [tiles, table(["ModelInfer", "Groups available", "State", "Reason", "Since", "Next"],
    items.map((item) => fleetRow(item, list.time)), "fleet")];
}

function fleetRow(item, now) {
  const state = item.isWell ? "well" : item.state === "Complete" ? "not well" : item.state;
  const kind = item.isWell ? "good" : item.state === "Progressing" && item.availableGroups ? "busy" : tone(item.state, false);
  const rollout = item.state === "Complete" ? "" : `${item.updated} of ${item.movable} updated`;
  return el("tr", {},
    el("td", { cls: "narrow" }, el("a", { href: `#/${item.namespace}/${item.name}` }, item.name),
      el("div", { cls: "quiet" }, item.namespace)),
    el("td", { cls: "narrow" }, `${item.availableGroups} / ${item.replicas}`, meter(item.availableGroups, item.replicas)),
    el("td", { cls: "narrow" }, pill(state, kind), rollout && el("div", { cls: "quiet" }, rollout)),
    el("td", { cls: "text" }, item.reason, item.message && el("div", { cls: "quiet" }, item.message)),
    el("td", { cls: "narrow" }, age(item.since, now)),
    el("td", { cls: "text" }, item.next));
}

// -- one ModelInfer ---------------------------------------------------------------------------------------------------

export function head(tree, rollout) {
  const isWell = tree.availableGroups >= tree.replicas;
  const facts = [`revision ${tree.updateRevision}`];
  if (tree.isRolling) facts.push(`${tree.updatedGroups} of ${tree.replicas} groups updated`);
  if (tree.partition) facts.push(`partition ${tree.partition}`);
  if (rollout && rollout.seconds) facts.push(`about ${span(rollout.seconds)} left`);
  return [el("div", { cls: "title" }, el("h2", {}, tree.name), el("span", { cls: "quiet" }, tree.namespace),
    pill(`${tree.availableGroups} of ${tree.replicas} groups available`, isWell ? "good" : "bad"),
    rollout ? pill(`rollout ${rollout.state.toLowerCase()}`, tone(rollout.state, rollout.state === "Complete")) : ""),
  el("p", { cls: "facts" }, facts.join(" · "))];
}

export function explanation(told) {
  const parts = told.remarks.map((remark) => el("p", { cls: "notice" }, remark));
  if (told.isWell) return [...parts, el("p", { cls: "notice good" }, told.summary)];
  const next = (steps) => steps.map((step) => el("p", { cls: "next" }, step.text));
  for (const group of told.groups) {
    const since = group.since ? `not available for ${age(group.since, told.time)}` : "not available";
    parts.push(el("section", { cls: "card why" },
      el("b", {}, `group ${group.ordinal}`), ` `, el("span", { cls: "quiet" }, since),
      el("p", {}, pill(group.reason, tone(group.reason, false)), ` ${group.message}`),
      group.details.length ? el("ul", {}, group.details.map((detail) => el("li", {}, detail))) : "",
      group.log.length ? el("pre", {}, group.log.join("\n")) : "",
      next(group.next)));
  }
  for (const waiting of told.waiting) {
    parts.push(el("section", { cls: "card why waits" }, el("b", {}, groupsText(waiting.ordinals)), next([waiting.next])));
  }
  if (told.otherNext.length) parts.push(el("section", { cls: "card why waits" }, next(told.otherNext)));
  return parts;
}

const isAtRest = (group) => group.isAvailable && group.state === "Available" && group.readyPods === group.podCount;

// opened: what the reader opened or closed, by the group's ordinal; by itself a group is open where it is not at rest.
export function tree(document, opened) {
  if (!document.groups.length) return [el("p", { cls: "quiet" }, "There are no groups.")];
  return document.groups.map((group) => {
    const key = `${document.namespace}/${document.name}/${group.ordinal}`;
    const isOpen = opened.has(key) ? opened.get(key) : !isAtRest(group) || document.groups.length <= 2;
    const details = el("details", { cls: "card group", open: isOpen, "data-group": group.ordinal },
      groupSummary(group, document.time),
      el("div", { cls: "roles" }, group.roles.map((role) => roleView(role, group, document.time))));
    details.addEventListener("toggle", () => opened.set(key, details.open));
    return details;
  });
}

function groupSummary(group, now) {
  const facts = [group.domain, group.gang ? `gang ${group.gang.state}` : "", plural(group.restarts, "restart")];
  const text = facts.filter((fact) => fact && fact !== "0 restarts").join(" · ");
  return el("summary", { id: `group-${group.ordinal}` },
    el("b", {}, `group ${group.ordinal}${group.isSurge ? " (surge)" : ""}`),
    el("span", {}, pill(group.state, tone(group.state, group.isAvailable))),
    el("span", {}, `${group.readyPods}/${group.podCount} pods`),
    el("span", { cls: "quiet" }, text),
    el("span", { cls: "revision" }, `${hash(group.revision)}${group.createdAt ? ` · ${age(group.createdAt, now)}` : ""}`));
}

function roleView(role, group, now) {
  const minimum = role.minimum === role.replicas ? "" : `, needs ${role.minimum}`;
  return el("div", { cls: "role" },
    el("h4", {}, role.name, " ", el("span", {}, `${role.readyInstances}/${role.replicas} ready${minimum}`)),
    role.instances.map((instance) => el("div", { cls: "instance" },
      instance.pods.map((pod) => podView(pod, group, now)))));
}

function podView(pod, group, now) {
  const kind = tone(pod.status, pod.isReady);
  const facts = [pod.node, pod.domain, pod.createdAt ? age(pod.createdAt, now) : "",
    pod.restarts ? plural(pod.restarts, "restart") : "", pod.revision && pod.revision !== group.revision ? hash(pod.revision) : ""];
  return el("div", { cls: "pod", "data-pod": pod.name },
    el("span", { cls: `dot ${kind}` }), el("span", { cls: "name" }, pod.name),
    el("span", { cls: `status ${kind}` }, pod.status),
    el("span", { cls: "where" }, facts.filter(Boolean).join(" · ")));
}

export function history(document) {
  const rows = [...document.revisions].reverse().map((one) => el("tr", {},
    el("td", { cls: "narrow" }, `${one.number}${one.isCurrent ? " (current)" : ""}`),
    el("td", { cls: "narrow mono" }, one.revision),
    el("td", { cls: "narrow" }, age(one.createdAt, document.time)),
    el("td", { cls: "narrow" }, one.groups.length ? ordinals(one.groups) : ""),
    el("td", { cls: "text" }, one.changeCause || "",
      one.changes.map((change) => el("div", { cls: "quiet" }, changeText(change))))));
  return rows.length ? table(["Revision", "Name", "Age", "Groups", "Change"], rows) : el("p", { cls: "quiet" }, "No revisions yet.");
}

const changeText = (change) => (change.path
  ? `${change.role ? `${change.role}: ` : ""}${change.path}: ${value(change.before)} → ${value(change.after)}`
  : `${change.role} ${change.before === null ? "added" : "removed"}`);
const value = (given) => (typeof given === "string" ? given : given === null ? "nothing" : JSON.stringify(given));

export function events(timeline) {
  const rows = [...timeline.items].reverse().map((item) => el("tr", { cls: item.kind === "Warning" ? "warning" : "" },
    el("td", { cls: "narrow" }, el("time", { datetime: item.time, title: item.time }, `${age(item.time, timeline.time)} ago`)),
    el("td", { cls: "narrow mono" }, item.about),
    el("td", { cls: "narrow" }, item.reason + (item.count > 1 ? ` ×${item.count}` : "")),
    el("td", { cls: "text" }, item.message)));
  return table(["When", "About", "What", "Message"], rows, "events");
}

// -- a plan -----------------------------------------------------------------------------------------------------------

export function plan(told) {
  const verdict = told.restarts ? pill(`restarts ${groupsText(told.restarted)}`, "busy")
    : told.obstacle ? pill("does not come to an end", "bad") : pill("restarts nothing", "good");
  const facts = [["created", told.created], ["removed", told.removed], ["stay as they are", told.unchanged],
    ["kept by the partition", told.held], ["surge, on the way", told.surge]]
    .filter(([, numbers]) => numbers.length).map(([words, numbers]) => [words, groupsText(numbers)]);
  facts.push(["pods", `${told.podsDeleted} deleted, ${told.podsCreated} created`],
    ["available", `${told.lowestAvailable} of ${told.replicas} groups at the lowest (now ${told.availableNow})`],
    ["duration", told.seconds === null ? "unknown: no group has become available yet"
      : `about ${span(told.seconds)} (a group takes ${span(told.startSeconds)} to start)`],
    [told.isNewRevision ? "new revision" : "revision", told.revision]);
  return el("section", { cls: "card plan" },
    el("div", { cls: "title" }, el("h2", {}, told.name), el("span", { cls: "quiet" }, told.namespace), verdict),
    told.obstacle ? el("p", { cls: "notice bad" }, `It would not end: ${told.obstacle}`) : "",
    el("dl", {}, facts.map(([words, text]) => [el("dt", {}, words), el("dd", {}, text)]).flat()),
    told.changes.length ? el("div", { cls: "diff" }, told.changes.map(changeView)) : "",
    told.steps.length ? stepsView(told) : el("p", { cls: "quiet" }, "Nothing to do."));
}

function changeView(change) {
  const lines = [el("div", {}, el("b", {}, change.role || "spec"), ` ${change.path}${change.restarts ? "" : "  (restarts nothing)"}`)];
  if (change.before !== null) lines.push(el("div", { cls: "minus" }, `- ${value(change.before)}`));
  if (change.after !== null) lines.push(el("div", { cls: "plus" }, `+ ${value(change.after)}`));
  return el("div", {}, lines);
}

function stepsView(told) {
  const shown = told.steps.slice(0, 60);
  const rows = shown.map((step, at) => el("tr", {}, el("td", { cls: "narrow" }, `${at + 1}`),
    el("td", { cls: "narrow" }, span(step.after)), el("td", { cls: "narrow" }, `${step.available} / ${told.replicas}`),
    el("td", { cls: "narrow" }, ordinals(step.groups)), el("td", { cls: "text" }, step.text)));
  const more = told.steps.length - shown.length;
  return [el("h3", {}, "Steps"), table(["", "After", "Available", "Groups", "What"], rows),
    more > 0 ? el("p", { cls: "quiet" }, `${plural(more, "more step")}: kubectl modelinfer plan -o json has them all`) : ""];
}
