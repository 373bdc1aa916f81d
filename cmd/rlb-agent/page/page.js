// Keeps the page up to date: it updates ages, and replaces the parts that have changed when the stream reports another
// version of the page. It turns no text into elements: the browser parses the page as a document, which runs no scripts.
"use strict";
(() => {
	const live = document.getElementById("live");
	const silence = 15000; // ms without an event, after which the page is not shown as live
	const asked = new Map(); // the parts as the host sent them, by id
	let skew = Date.now() - Number(document.body.dataset.now);
	let version = document.body.dataset.version, heard = 0, since = Date.now(), asking = false, again = false, lost = null;

	const parts = (from) => from.querySelectorAll("main > [id]");
	for (const part of parts(document)) asked.set(part.id, part.outerHTML);

	const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
	const span = (seconds) => {
		seconds = Math.max(0, Math.floor(seconds));
		for (let i = 0; i < units.length; i++) {
			const [unit, size] = units[i], next = units[i + 1];
			if (seconds < size) continue;
			const rest = next ? Math.floor(seconds % size / next[1]) : 0;
			return Math.floor(seconds / size) + unit + (rest ? rest + next[0] : "");
		}
		return "0s";
	};
	const count = () => {
		for (const e of document.querySelectorAll(".age")) {
			if (!e.dataset.said) e.dataset.said = e.textContent;
			const passed = span((Date.now() - skew - Date.parse(e.getAttribute("datetime") || e.dataset.at)) / 1000);
			const text = e.dataset.form === "ago" ? passed + " ago" : "for " + passed;
			if (e.textContent !== text) e.textContent = text;
			if (e.localName === "time") e.title = e.dataset.said;
		}
	};

	const say = (text, isLost) => {
		if (lost === isLost) return;
		lost = isLost;
		live.hidden = false;
		live.textContent = text;
		live.classList.toggle("lost", isLost);
		document.body.classList.toggle("stale", isLost);
	};
	const clock = (at) => new Date(at).toLocaleTimeString();
	const alive = () => { heard = Date.now(); say("live", false); };
	const look = () => {
		if (Date.now() - Math.max(heard, since) < silence && !gone) return;
		say("No word from this host since " + clock(heard || since) + ". What you see is of that time.", true);
	};

	// The banner stays the same element, so that a screen reader announces what is new in it.
	const replace = (old, fresh) => {
		const open = new Set([...old.querySelectorAll("details[open]")].map((e) => e.id));
		if (old.id === "verdict") {
			for (const name of ["class", "aria-label"]) old.setAttribute(name, fresh.getAttribute(name));
			old.querySelector(".sign").replaceWith(fresh.querySelector(".sign"));
			const [was, is] = [old, fresh].map((e) => e.querySelector("#verdict-text"));
			if (was.textContent !== is.textContent) was.replaceChildren(...is.childNodes);
			return old;
		}
		const had = document.activeElement && old.contains(document.activeElement) ? document.activeElement.closest("[id]").id : "";
		old.replaceWith(fresh);
		for (const e of fresh.querySelectorAll("details")) e.open = open.has(e.id);
		const again = had && document.getElementById(had);
		if (again) (again.querySelector("summary") || again).focus({preventScroll: true});
		return fresh;
	};
	const take = (page) => {
		if (!page || !page.body || !page.body.dataset.version) return;
		version = page.body.dataset.version;
		skew = Date.now() - Number(page.body.dataset.now);
		document.title = page.title;
		const icon = document.querySelector("link[rel=icon]"), other = page.querySelector("link[rel=icon]");
		if (icon.getAttribute("href") !== other.getAttribute("href")) icon.setAttribute("href", other.getAttribute("href"));
		for (const part of parts(page)) {
			const html = part.outerHTML, old = document.getElementById(part.id);
			if (!old || asked.get(part.id) === html) continue;
			asked.set(part.id, html);
			const fresh = replace(old, document.importNode(part, true));
			fresh.classList.add("changed");
			fresh.addEventListener("animationend", () => fresh.classList.remove("changed"), {once: true});
		}
		count();
	};
	const ask = () => {
		if (asking) { again = true; return; }
		asking = true;
		const request = new XMLHttpRequest();
		request.open("GET", "/");
		request.responseType = "document";
		request.timeout = 10000;
		request.onload = () => { if (request.status === 200) { take(request.responseXML); alive(); } };
		request.onloadend = () => { asking = false; if (again) { again = false; ask(); } };
		request.send();
	};

	let stream, gone = false;
	const follow = () => {
		stream = new EventSource("/stream");
		stream.addEventListener("version", (event) => { gone = false; alive(); if (event.data !== version) ask(); });
		stream.addEventListener("alive", () => { gone = false; alive(); });
		stream.onerror = () => {
			// Closed: too many streams, or an older host. Then the page is requested again and again.
			if (stream.readyState === EventSource.CLOSED) { setTimeout(follow, 30000); ask(); return; }
			setTimeout(() => { if (stream.readyState !== EventSource.OPEN) { gone = true; look(); } }, 2500);
		};
	};
	follow();
	count();
	setInterval(() => { count(); look(); if (stream.readyState === EventSource.CLOSED && Date.now() - heard > 5000) ask(); }, 1000);
})();
