"use strict";
// Asks every two seconds what has changed, and says times in the reader's own zone.
const main = document.querySelector("main");
const channel = document.body.dataset.channel;
let change = document.body.dataset.change;

const STYLES = {
  t: { timeStyle: "short" }, T: { timeStyle: "medium" }, d: { dateStyle: "short" }, D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" }, F: { dateStyle: "full", timeStyle: "short" },
};
const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function ago(unix) {
  const seconds = unix - Date.now() / 1000;
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
  return new Intl.RelativeTimeFormat("en").format(Math.trunc(seconds / length), unit);
}

function tell() {
  for (const time of document.querySelectorAll("time")) {
    const unix = Number(time.dataset.unix), style = time.dataset.style;
    const date = new Date(unix * 1000);
    time.textContent = style === "R" ? ago(unix) : new Intl.DateTimeFormat("en-GB", STYLES[style]).format(date);
    time.title = date.toString();
  }
}

async function ask() {
  const answer = await fetch(`/changes.json?since=${change}&channel=${encodeURIComponent(channel)}`);
  const told = await answer.json();
  const low = innerHeight + scrollY > document.body.scrollHeight - 80;
  document.querySelector("#watchdog").innerHTML = told.watchdog;
  if (told.change !== Number(change)) {
    const stay = new Set(told.ids.map((id) => `m${id}`));
    for (const article of [...main.children]) if (!stay.has(article.id)) article.remove();
    for (const { id, html } of told.messages) {
      const made = document.createElement("template");
      made.innerHTML = html; // all text in it was escaped by the server, and the policy lets no script run
      const old = document.getElementById(`m${id}`);
      if (old) old.replaceWith(made.content); else main.append(made.content);
    }
    document.querySelector("nav").innerHTML = told.channels;
    change = told.change;
    if (low) scrollTo(0, document.body.scrollHeight);
  }
  tell();
}

tell();
scrollTo(0, document.body.scrollHeight);
setInterval(() => { if (!document.hidden) ask().catch(() => {}); }, 2000);
