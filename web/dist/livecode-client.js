// src/client/environment.ts
function e(e) {
	let t = /* @__PURE__ */ new Map(), n = (t) => {
		try {
			return t(globalThis[e]);
		} catch {
			return;
		}
	};
	return {
		getItem: (e) => t.get(e) ?? n((t) => t.getItem(e)) ?? null,
		setItem(e, r) {
			t.set(e, r), n((t) => t.setItem(e, r));
		},
		removeItem(e) {
			t.delete(e), n((t) => t.removeItem(e));
		}
	};
}
var t;
function n() {
	return t ??= {
		fetch: (e, t) => fetch(e, t),
		open: (e) => new WebSocket(e),
		later(e, t) {
			let n = setTimeout(t, e);
			return () => clearTimeout(n);
		},
		random: () => Math.random(),
		hex: (e) => Array.from(crypto.getRandomValues(new Uint8Array(e)), (e) => e.toString(16).padStart(2, "0")).join(""),
		lasting: e("localStorage"),
		tab: e("sessionStorage"),
		onWake(e) {
			let t = globalThis, n = () => globalThis.document?.hidden || e(), r = [
				"online",
				"visibilitychange",
				"pageshow"
			];
			for (let e of r) t.addEventListener?.(e, n);
			return () => r.forEach((e) => t.removeEventListener?.(e, n));
		},
		base: globalThis.location?.href
	};
}
function r(e) {
	let t = String(e.data ?? "");
	return e.encoding === "base64" ? new TextDecoder().decode(Uint8Array.from(atob(t), (e) => e.charCodeAt(0))) : t;
}
var i = class extends Error {
	status;
	field;
	msg;
	name = "LiveCodeError";
	constructor(e, t, n, r) {
		super(e), this.status = t, this.field = n, this.msg = r;
	}
}, a = 6e4, o = [
	408,
	409,
	429,
	502,
	503,
	504
], s = class {
	environment;
	base;
	#e;
	constructor(e, t, n) {
		this.environment = t;
		let r = new URL(e, t.base);
		if (this.base = r.origin + r.pathname.replace(/\/+$/, ""), !n) {
			let e = `livecode-token:${this.base}`;
			n = t.lasting.getItem(e) ?? t.hex(16), t.lasting.setItem(e, n);
		}
		this.#e = n;
	}
	create(e, t) {
		return this.#n(`${this.base}/sessions`, {
			method: "POST",
			headers: {
				"Content-Type": "application/json",
				"Idempotency-Key": t
			},
			body: JSON.stringify(e)
		});
	}
	find(e) {
		return this.#n(e, {
			method: "GET",
			headers: {}
		});
	}
	async remove(e) {
		await this.#t(e, {
			method: "DELETE",
			headers: {},
			keepalive: !0
		});
	}
	session(e) {
		return `${this.base}/sessions/${encodeURIComponent(e)}`;
	}
	get oldSocket() {
		return `${this.base.replace(/^http/, "ws")}/livecode`;
	}
	stream(e, t) {
		let n = new URL(e.links.stream, this.base.replace(/^http/, "ws"));
		return this.base.startsWith("https:") && (n.protocol = "wss:"), n.searchParams.set("after", String(t)), n.href;
	}
	#t(e, t) {
		let n = {
			...t.headers,
			Authorization: `Bearer ${this.#e}`
		};
		return this.environment.fetch(e, {
			...t,
			headers: n,
			signal: AbortSignal.timeout(a)
		});
	}
	async #n(e, t) {
		let n, r = {};
		try {
			n = await this.#t(e, t);
		} catch {
			return { is: "unreachable" };
		}
		try {
			r = await n.json();
		} catch {}
		let { status: a } = n;
		if (n.ok && typeof r.links?.stream == "string") return {
			is: "found",
			document: r
		};
		if (t.body && [
			404,
			405,
			501
		].includes(a)) return { is: "old" };
		let s = new i(String(r.detail ?? r.title ?? `the server answers ${a}`), a, typeof r.field == "string" ? r.field : void 0);
		if (o.includes(a)) {
			let e = Number(n.headers.get("Retry-After") ?? NaN);
			return {
				is: "busy",
				retryAfterMs: e >= 0 ? e * 1e3 : void 0,
				error: s
			};
		}
		return {
			is: "refused",
			error: s
		};
	}
}, c = 100, l = 1e4, u = class {
	random;
	#e = 0;
	constructor(e) {
		this.random = e;
	}
	next() {
		return Math.min(c * 2 ** this.#e++, l) / 2 * (1 + this.random());
	}
	reset() {
		this.#e = 0;
	}
}, d = 32, f = 1e4, p = class {
	name;
	#e = [];
	#t = 0;
	constructor(e) {
		this.name = e;
	}
	get size() {
		return this.#e.length;
	}
	add(e, t = {}) {
		return new Promise((n, r) => {
			let a = `${this.name}-${++this.#t}`, o = JSON.stringify({
				...e,
				id: a
			});
			if (new TextEncoder().encode(o).length > 65536) return r(new i("a message has at most 65536 bytes"));
			let s = this.#e.at(-1);
			if (t.mark && s && !s.sent && s.mark === t.mark && (this.#e.pop(), s.resolve()), this.#e.length >= f) return r(new i(`${f} messages wait for the server already`));
			this.#e.push({
				id: a,
				text: o,
				...t,
				sent: !1,
				resolve: n,
				reject: r
			});
		});
	}
	next() {
		let e = [], t = /* @__PURE__ */ new Set(), n = d;
		for (let r of this.#e) {
			if (n-- <= 0) break;
			r.lane && t.has(r.lane) || (r.lane && t.add(r.lane), r.sent || (r.sent = !0, e.push(r.text)));
		}
		return e;
	}
	lost() {
		for (let e of this.#e) e.sent = !1;
	}
	acknowledged(e) {
		this.#n(e)?.resolve();
	}
	refused(e, t) {
		let n = this.#n(e);
		return n?.reject(t), n !== void 0;
	}
	postponed(e) {
		let t = this.#e.find((t) => t.id === e);
		return t && (t.sent = !1), t !== void 0;
	}
	close(e) {
		for (let t of this.#e.splice(0)) t.reject(e);
	}
	#n(e) {
		let t = this.#e.findIndex((t) => t.id === e);
		return t < 0 ? void 0 : this.#e.splice(t, 1)[0];
	}
};
function* m(e) {
	let t = 0;
	do {
		let n = Math.min(t + 10822, e.length);
		n < e.length && /[\ud800-\udbff]/.test(e[n - 1]) && n--, yield e.slice(t, n), t = n;
	} while (t < e.length);
}
// src/client/session.ts
var h = 2e4, g = 1e4, _ = 3e3, v = 200, y = 30, b = 1012, x = class {
	server;
	origin;
	hooks;
	environment;
	onLocated;
	#e = "connecting";
	#t;
	#n;
	#r = !1;
	#i;
	#a = 0;
	#o = 0;
	#s = () => {};
	#c;
	#l = !1;
	#u;
	#d;
	#f;
	#p;
	#m;
	ended;
	constructor(e, t, n, r, i = () => {}) {
		this.server = e, this.origin = t, this.hooks = n, this.environment = r, this.onLocated = i, this.#n = "after" in t ? t.after ?? 0 : 0, this.#u = r.hex(16), this.#d = new u(r.random), this.#f = new p(r.hex(4)), this.ended = new Promise((e, t) => this.#m = {
			resolve: e,
			reject: t
		}), this.ended.catch(() => {}), this.#p = r.onWake(() => this.#A()), Promise.resolve().then(() => this.#y());
	}
	get state() {
		return this.#e;
	}
	get id() {
		return this.#t?.id;
	}
	get seq() {
		return this.#n;
	}
	get waiting() {
		return this.#f.size;
	}
	async input(e, t = {}) {
		let n = [...m(e)], r = n.map((e, r) => this.#h({
			msgtype: "input",
			data: e,
			...t.eof && r === n.length - 1 ? { eof: !0 } : {}
		}, { lane: "input" }));
		await Promise.all(r);
	}
	event(e, t = null, n = {}) {
		return this.#h({
			msgtype: "event",
			event: e,
			data: t
		}, n.coalesce ? { mark: e } : {});
	}
	signal(e) {
		return this.#h({
			msgtype: "signal",
			signal: e
		});
	}
	stop() {
		this.#r ? this.#i?.close(1e3) : this.signal("kill").catch(() => {});
	}
	close() {
		this.#M(new i("the page stopped following"), !1);
	}
	remove() {
		this.#l = !0, this.#t && this.server.remove(this.#t.links.self).catch(() => {}), this.close();
	}
	#h(e, t = {}) {
		if (this.#e === "ended") return Promise.reject(new i("the session has ended"));
		if (this.#r) return e.msgtype === "event" ? (this.#i?.send(JSON.stringify(e)), Promise.resolve()) : Promise.reject(new i("the server only knows v0.1: it takes events alone"));
		let n = this.#f.add(e, t);
		return this.#g(), n;
	}
	#g() {
		if (this.#e === "live") for (let e of this.#f.next()) this.#i?.send(e);
	}
	#_(e) {
		e !== this.#e && (this.#e = e, this.#v(() => this.hooks.onState?.(e)));
	}
	#v(e) {
		try {
			e();
		} catch (e) {
			queueMicrotask(() => {
				throw e;
			});
		}
	}
	async #y() {
		if (this.#e === "ended") return;
		let { origin: e, server: t } = this, n;
		if (this.#t ? n = await t.find(this.#t.links.self) : "url" in e ? n = await t.find(e.url) : (n = await t.create(e.program, this.#u), n.is === "unreachable" && (n = await this.#b(e.program))), this.#l && n.is === "found" && t.remove(n.document.links.self).catch(() => {}), this.#e !== "ended") switch (n.is) {
			case "found": {
				let e = !this.#t;
				return this.#t = n.document, this.#o = 0, e && this.#v(() => this.onLocated(n.document)), this.#x(t.stream(n.document, this.#n));
			}
			case "old": return this.#r = !0, this.#x(t.oldSocket);
			case "refused": return this.#M(n.error);
			case "busy": return ++this.#o > y ? this.#M(n.error) : this.#k(n.retryAfterMs);
			case "unreachable": return this.#k();
		}
	}
	#b(e) {
		return new Promise((t) => {
			let n;
			try {
				n = this.environment.open(this.server.oldSocket);
			} catch {
				return t({ is: "unreachable" });
			}
			let r = this.environment.later(g, () => n.close());
			n.onmessage = async () => {
				n.onclose = n.onmessage = null, r();
				let i = await this.server.create(e, this.#u);
				n.close(), t(i.is === "unreachable" ? { is: "old" } : i);
			}, n.onclose = () => {
				r(), t({ is: "unreachable" });
			};
		});
	}
	#x(e) {
		let t = this.#i = this.environment.open(e), n = !1;
		t.onopen = () => n = !0, t.onmessage = ({ data: e }) => {
			this.#a++;
			let t;
			try {
				t = JSON.parse(String(e));
			} catch {
				return;
			}
			this.#E(t);
		}, t.onclose = ({ code: e }) => this.#O(e, n), this.#S(g);
	}
	#S(e) {
		let t = this.#a;
		this.#s(), this.#s = this.environment.later(e, () => this.#a === t ? this.#T() : this.#C());
	}
	#C() {
		let e = this.#a;
		this.#s(), this.#s = this.environment.later(h, () => this.#a === e ? this.#w(g) : this.#C());
	}
	#w(e) {
		this.#i?.send("{\"msgtype\":\"ping\"}"), this.#S(e);
	}
	#T() {
		let e = this.#i;
		e && (this.#O(0, !0), e.close());
	}
	#E(e) {
		switch (e.msgtype) {
			case "welcome":
				if (this.#r) {
					let { runtime: e, code: t, code_filename: n, files: r, command: i, env: a, timeout: o } = this.origin.program;
					this.#i?.send(JSON.stringify({
						msgtype: "exec",
						runtime: e,
						code: t,
						code_filename: n,
						files: r,
						command: i,
						env: a,
						timeout: o
					}));
				}
				return this.#_("live"), this.#C(), this.#g();
			case "pong":
			case "goodbye": return;
			case "ack": return this.#d.reset(), this.#f.acknowledged(e.id), this.#g();
			case "error": return this.#D(e);
			case "gap": return this.#n = Math.max(this.#n, Number(e.to)), this.#v(() => this.hooks.onGap?.(Number(e.from), Number(e.to))), this.#v(() => this.hooks.onMessage?.(e));
		}
		let t = typeof e.seq == "number" ? e.seq : this.#n + 1;
		if (!(t <= this.#n)) {
			if (this.#n = t, this.#d.reset(), e.msgtype !== "exitstatus") return this.#v(() => this.hooks.onMessage?.(e));
			this.#j(), this.#e = "ended", this.#m.resolve(e), this.#v(() => this.hooks.onMessage?.(e)), this.#v(() => this.hooks.onState?.("ended"));
		}
	}
	#D(e) {
		let t = e.msg, n = new i(String(e.error), void 0, void 0, t), r = t?.id;
		n.message.includes("send it again later") && this.#f.postponed(r) ? this.environment.later(v, () => this.#g()) : this.#r && t?.msgtype === "exec" ? this.#M(n) : (this.#f.refused(r, n), this.#v(() => this.hooks.onError?.(n)));
	}
	#O(e, t) {
		let n = this.#i;
		if (n) {
			if (n.onopen = n.onmessage = n.onclose = null, this.#i = void 0, this.#f.lost(), this.#r) return this.#M(new i("the connection was lost, and the server cannot take it up again"));
			this.#_("reconnecting"), e === b && this.#d.reset(), this.#k(void 0, t ? this.#t : void 0);
		}
	}
	#k(e = 0, t) {
		this.#s();
		let n = () => {
			this.#s(), this.#c = void 0, t ? this.#x(this.server.stream(t, this.#n)) : this.#y();
		};
		this.#c = e ? void 0 : n, this.#s = this.environment.later(e + this.#d.next(), n);
	}
	#A() {
		this.#c ? this.#c() : this.#e === "live" && this.#w(_);
	}
	#j() {
		this.#s(), this.#c = void 0, this.#p(), this.#f.close(new i("the session has ended"));
		let e = this.#i;
		this.#i = void 0, e && (e.onopen = e.onmessage = e.onclose = null, e.close(1e3));
	}
	#M(e, t = !0) {
		this.#e !== "ended" && (this.#j(), this.#m.reject(e), t && this.#v(() => this.hooks.onError?.(e)), this.#_("ended"));
	}
}, S = (e) => `livecode-session:${e}`;
function C({ server: e, token: t, environment: r = n() }) {
	return {
		environment: r,
		server: new s(e, r, t)
	};
}
function w(e, t = {}) {
	let { server: n, token: r, key: i, environment: a, ...o } = e, { environment: s, server: c } = C(e);
	return i && s.tab.removeItem(S(i)), new x(c, { program: o }, t, s, ({ links: e }) => {
		i && s.tab.setItem(S(i), JSON.stringify({
			server: c.base,
			self: e.self
		}));
	});
}
function T(e, t = {}) {
	let { environment: n, server: r } = C(e);
	return new x(r, {
		url: r.session(e.id),
		after: e.after ?? 0
	}, t, n);
}
function E(e, t = {}) {
	let { environment: n, server: r } = C(e), i = n.tab.getItem(S(e.key));
	if (!i) return null;
	let a = JSON.parse(i);
	return a.server === r.base ? new x(r, { url: a.self }, t, n) : null;
}
function D(e) {
	(e.environment ?? n()).tab.removeItem(S(e.key));
}
export { i as LiveCodeError, x as Session, T as attach, D as forget, E as pickUp, w as run, r as textOf };
