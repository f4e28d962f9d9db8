"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("fieldmark-token", given);
    history.replaceState(null, "", location.pathname);
  }
  const token = sessionStorage.getItem("fieldmark-token");
  let waiting = [];
  let skipped = new Set();

  const say = (text) => { at("message").textContent = text; };
  const order = () => (at("order-uncertain").checked ? "uncertain" : "field");

  async function ask(path, options) {
    const headers = { Authorization: "Bearer " + token, "Content-Type": "application/json" };
    const answer = await fetch("/api/v1/" + path, { headers, ...options });
    const body = await answer.json();
    if (!answer.ok) { throw new Error(body.error ? body.error.message : "the node answered " + answer.status); }
    return body;
  }

  // The numbers of an input, if it is one row of them.
  function numbers(input) {
    const first = input && typeof input === "object" ? Object.values(input)[0] : null;
    const flat = Array.isArray(first) ? first.flat(Infinity) : [];
    return flat.length > 0 && flat.every((n) => typeof n === "number") ? flat : null;
  }

  function draw(input) {
    const values = numbers(input);
    const side = values ? Math.sqrt(values.length) : 0;
    const square = Number.isInteger(side) && side >= 4;
    at("picture").hidden = !square;
    at("input").hidden = square;
    const first = input === null ? null : Object.values(input)[0];
    const text = typeof first === "string" ? first : JSON.stringify(input);
    at("input").textContent = input === null ? "(the input was pruned)" : text;
    if (!square) { return; }
    const canvas = at("picture");
    canvas.width = side;
    canvas.height = side;
    const top = values.reduce((most, n) => Math.max(most, n), 1e-9);
    const context = canvas.getContext("2d");
    const image = context.createImageData(side, side);
    values.forEach((n, i) => {
      const shade = Math.round(255 * Math.min(Math.max(n / top, 0), 1));
      image.data.set([shade, shade, shade, 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
  }

  function show() {
    const next = waiting.find((kept) => !skipped.has(kept.request_id));
    at("card").hidden = !next;
    if (!next) {
      say(waiting.length ? "Only skipped predictions are left." : "Nothing waits for a truth.");
      return;
    }
    say("");
    at("why").textContent = order() === "uncertain"
      ? "For yourself only: this label is never reported."
      : next.counted ? "Counts for the field score." : "Does not count for the field score; it was not drawn.";
    at("answer").textContent = next.answer;
    at("certainty").textContent = (100 * Math.max(...next.probabilities)).toFixed(1) + "%";
    draw(next.input);
    const labels = at("labels");
    labels.replaceChildren(...next.labels.map((label, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.dataset.label = label;
      if (index < 10) { button.accessKey = String(index); }
      button.addEventListener("click", () => tell(next, label));
      return button;
    }));
  }

  function tally(tallies) {
    const row = (cell, texts) => {
      const line = document.createElement("tr");
      line.append(...texts.map((text) => { const c = document.createElement(cell); c.textContent = text; return c; }));
      return line;
    };
    const table = document.createElement("table");
    table.append(row("th", ["Model", "served", "counted", "labelled", "unlabelled"]));
    tallies.forEach((t) => table.append(row("td", [t.name, t.served, t.counted, t.labelled, t.unlabelled])));
    at("tally").replaceChildren(...(tallies.length ? [table] : []));
  }

  async function load() {
    if (!token) { say("Open this page with `fieldmark label`, which hands it the token of your node."); return; }
    try {
      const answer = await ask("served?limit=50&order=" + order());
      waiting = answer.waiting;
      tally(answer.tallies);
      show();
    } catch (error) { say("The node does not answer: " + error.message); }
  }

  async function tell(kept, label) {
    at("labels").querySelectorAll("button").forEach((button) => { button.disabled = true; });
    try {
      const local = order() === "uncertain";
      await ask("feedback", { method: "POST", body: JSON.stringify({ request_id: kept.request_id, truth: label, local }) });
    } catch (error) { say(error.message); show(); return; }
    await load();
  }

  at("skip").addEventListener("click", () => {
    const next = waiting.find((kept) => !skipped.has(kept.request_id));
    if (next) { skipped.add(next.request_id); }
    show();
  });
  document.querySelectorAll("input[name=order]").forEach((input) =>
    input.addEventListener("change", () => { skipped = new Set(); load(); }));
  document.addEventListener("keydown", (event) => {
    const buttons = at("labels").querySelectorAll("button");
    if (!event.ctrlKey && !event.metaKey && !event.altKey && /^[0-9]$/.test(event.key) && buttons.length <= 10) {
      const button = buttons[Number(event.key)];
      if (button && !button.disabled) { button.click(); }
    }
  });
  load();
})();
