function e(e){let t=new Map,n=t=>{try{return t(globalThis[e])}catch{return}};return{getItem:e=>t.get(e)??n(t=>t.getItem(e))??null,setItem(e,r){t.set(e,r),n(t=>t.setItem(e,r))},removeItem(e){t.delete(e),n(t=>t.removeItem(e))}}}var t;function n(){return t??={fetch:(e,t)=>fetch(e,t),open:e=>new WebSocket(e),later(e,t){let n=setTimeout(t,e);return()=>clearTimeout(n)},random:()=>Math.random(),hex:e=>Array.from(crypto.getRandomValues(new Uint8Array(e)),e=>e.toString(16).padStart(2,`0`)).join(``),lasting:e(`localStorage`),tab:e(`sessionStorage`),onWake(e){let t=globalThis,n=()=>globalThis.document?.hidden||e(),r=[`online`,`visibilitychange`,`pageshow`];for(let e of r)t.addEventListener?.(e,n);return()=>r.forEach(e=>t.removeEventListener?.(e,n))},base:globalThis.location?.href}}var r=class extends Error{status;field;msg;code;name=`LiveCodeError`;constructor(e,t,n,r,i){super(e),this.status=t,this.field=n,this.msg=r,this.code=i}},i=6e4,a=[408,409,429,502,503,504],o=[404,405,501],s=e=>typeof e==`string`?e:void 0,c=class{environment;base;#e;constructor(e,t,n){this.environment=t;let r=new URL(e,t.base);if(this.base=r.origin+r.pathname.replace(/\/+$/,``),!n){let e=`livecode-token:${this.base}`;n=t.lasting.getItem(e)??t.hex(16),t.lasting.setItem(e,n)}this.#e=n}create(e,t){return this.#n(`${this.base}/sessions`,{method:`POST`,headers:{"Content-Type":`application/json`,"Idempotency-Key":t},body:JSON.stringify(e)})}find(e){return this.#n(e,{method:`GET`,headers:{}})}async list(){try{let e=`${this.base}/sessions`,t=await this.#t(e,{method:`GET`,headers:{}});return t.ok?await t.json():null}catch{return null}}async remove(e){await this.#t(e,{method:`DELETE`,headers:{},keepalive:!0})}sessionUrl(e){return`${this.base}/sessions/${encodeURIComponent(e)}`}get v01SocketUrl(){return`${this.base.replace(/^http/,`ws`)}/livecode`}streamUrl(e,t){let n=new URL(e.links.stream,this.base.replace(/^http/,`ws`));return this.base.startsWith(`https:`)&&(n.protocol=`wss:`),n.searchParams.set(`after`,String(t)),n.href}#t(e,t){let n={...t.headers,Authorization:`Bearer ${this.#e}`},r=AbortSignal.timeout(i);return this.environment.fetch(e,{...t,headers:n,signal:r})}async#n(e,t){let n,i={};try{n=await this.#t(e,t)}catch{return{kind:`unreachable`}}try{i=await n.json()}catch{}let{status:c}=n,l=i.links;if(n.ok&&typeof l?.stream==`string`)return{kind:`found`,document:i};if(t.body&&o.includes(c))return{kind:`v0.1`};let u=String(i.detail??i.title??`the server responded with ${c}`),{field:d,code:f}=i,p=new r(u,c,s(d),void 0,s(f));if(a.includes(c)){let e=Number(n.headers.get(`Retry-After`)??NaN);return{kind:`busy`,retryAfterMs:e>=0?e*1e3:void 0,error:p}}return{kind:`refused`,error:p}}},l=[[{title:`Quiz`,runtime:`python`,code:`questions = [
    ("What is 7 times 8?", "56"),
    ("Which planet is closest to the sun?", "mercury"),
    ("How many legs has a spider?", "8"),
]

points = 0
for question, answer in questions:
    guess = input(question + " ").strip().lower()
    if guess == answer:
        print("\\033[32mRight!\\033[0m")
        points += 1
    else:
        print(f"\\033[31mNo:\\033[0m it is {answer}.")

print(f"You have {points} of {len(questions)} points.")
`},{title:`Turtle`,runtime:`python-canvas`,code:`from turtle import *

setup(480, 480)
speed(0)
bgcolor("#10122b")
pensize(2)

colours = ["coral", "gold", "turquoise", "deepskyblue", "violet"]
for n in range(160):
    pencolor(colours[n % 5])
    forward(n * 2.5)
    left(144.6)
hideturtle()
`},{title:`Animation`,runtime:`python-canvas`,code:`from math import cos, sin

size(480, 360)
stroke(None)

t = 0
while True:
    background("#10122b")
    for n in range(60):
        angle = n / 60 * 6.283 + t
        radius = 110 + 40 * sin(3 * angle + 2 * t)
        fill(80 + 2.5 * n, 120 + 100 * sin(t), 255 - 2 * n)
        circle(240 + 1.6 * radius * cos(angle), 180 + radius * sin(angle), 10 + 8 * sin(n + 4 * t))
    t += 0.02
    frame()
`},{title:`Mouse game`,runtime:`python-canvas`,code:`# Catch the falling balls: move the basket with the mouse or a finger.
from random import randint

size(480, 360)
stroke(None)

caught = missed = 0
x, y, speed = 240, 0, 3
while missed < 3:
    y += speed
    if y > 330:
        if abs(x - mouse_x()) < 45:
            caught += 1
            speed += 0.3
        else:
            missed += 1
        x, y = randint(20, 460), 0

    background("#eaf4ff")
    fill("#e8590c")
    circle(x, y, 24)
    fill("#4338ca")
    rect(mouse_x() - 40, 335, 80, 14)
    fill("#1b2030")
    text(f"caught {caught}, missed {missed} of 3", 12, 26, size=18)
    frame()

text("Game over", 240, 180, size=48, align="center")
print(f"You caught {caught}.")
`},{title:`Music`,runtime:`python`,code:`import livecode

# Each note has a name and a length in beats.
tune = "C4 1, D4 1, E4 1, C4 1, C4 1, D4 1, E4 1, C4 1, E4 1, F4 1, G4 2, E4 1, F4 1, G4 2"
beat = 0.4

at = 0
for entry in tune.split(", "):
    note, beats = entry.split()
    livecode.send("play", note=note, duration=int(beats) * beat, at=at)
    at += int(beats) * beat

livecode.send("play", note=["C3", "G3", "C4"], duration=2, at=at)
print(f"{at + 2:.0f} seconds of music")
`},{title:`Plot`,runtime:`python`,code:`import math
import livecode

xs = [n / 50 for n in range(501)]
ys = [math.exp(-x / 4) * math.cos(3 * x) for x in xs]

try:
    import matplotlib.pyplot as plt
except ImportError:
    # Without matplotlib, draw the same curve as an SVG.
    points = " ".join(f"{40 + 40 * x:.1f},{120 - 100 * y:.1f}" for x, y in zip(xs, ys))
    livecode.show(f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 240">
      <rect width="480" height="240" fill="white"/>
      <path d="M40 10V230M40 120H460" stroke="#98a2b3"/>
      <polyline points="{points}" fill="none" stroke="#4338ca" stroke-width="2.5"/>
    </svg>""")
else:
    plt.plot(xs, ys, color="#4338ca")
    plt.title("A damped oscillation")
    plt.grid(alpha=0.3)
    plt.show()
`},{title:`Table`,runtime:`python`,code:`import livecode

planets = [
    ("Mercury", 0.39, 0.24),
    ("Venus", 0.72, 0.62),
    ("Earth", 1.00, 1.00),
    ("Mars", 1.52, 1.88),
    ("Jupiter", 5.20, 11.9),
]

# Kepler's third law: the square of a year is the cube of the distance.
rows = [[name, distance, year, round(distance**1.5, 2)] for name, distance, year in planets]
livecode.send("table", columns=["planet", "distance", "year", "year by Kepler's law"], rows=rows)
`}],[{title:`Animation`,runtime:`javascript-canvas`,code:`size(480, 360);
stroke(null);

const balls = Array.from({ length: 40 }, (_, n) => ({
  x: 240,
  y: 180,
  across: 4 * Math.sin(n),
  down: 4 * Math.cos(2.5 * n),
  colour: \`hsl(\${9 * n} 80% 62%)\`,
}));

while (true) {
  background("#10122b");
  for (const ball of balls) {
    ball.x += ball.across;
    ball.y += ball.down;
    if (ball.x < 10 || ball.x > 470) ball.across *= -1;
    if (ball.y < 10 || ball.y > 350) ball.down *= -1;
    fill(ball.colour);
    circle(ball.x, ball.y, 20);
  }
  await frame();
}
`},{title:`Paint`,runtime:`javascript-canvas`,code:`// Paint with the mouse or a finger. Every key changes the colour.
size(480, 360);
background("#fffdf5");
text("Hold the button and draw", 240, 180, { size: 22, align: "center", fill: "#8a8371" });

let hue = 250;
let last;

onKeyDown(() => (hue = (hue + 50) % 360));
onMouseDown((x, y) => (last = [x, y]));
onMouseUp(() => (last = undefined));
onMouseMove((x, y) => {
  if (!last) return;
  line(...last, x, y, { stroke: \`hsl(\${hue} 80% 50%)\`, width: 8 });
  last = [x, y];
});
`},{title:`Music`,runtime:`javascript`,code:`const livecode = require("livecode");

// The notes of each chord are played one after the other.
const chords = ["C4 E4 G4", "A3 C4 E4", "F3 A3 C4", "G3 B3 D4", "C4 E4 G4 C5"];

chords.forEach((chord, bar) => {
  const notes = chord.split(" ");
  notes.forEach((note, n) => livecode.send("play", { note, at: bar + n * 0.25, duration: 1.2 - n * 0.25, wave: "sine" }));
});
console.log(\`\${chords.length} bars\`);
`}]];function u(e){let t=t=>t.runtime===e;return(l.find(e=>e.some(t))??[]).map(e=>({...e,code:e.code.trim()}))}var d={cpu:`stopped: it used up its processor time`,memory:`stopped: it used up its memory`,output:`stopped: it printed too much`,cancelled:`stopped`,lost:`lost: the server's machine or the supervisor of the program failed`};function f({exitstatus:e,reason:t},n,r){return t===`timeout`?n===void 0?`stopped: its time was up`:`stopped after ${Math.max(1,Math.round(n))} s`:t===`signalled`?r?`stopped`:`ended by signal ${Number(e)-128}`:typeof t==`string`?d[t]??`ended: ${t}`:e===0?`finished`:`ended with exit status ${Number(e)}`}var p=100,m=[[`day`,86400],[`hour`,3600],[`minute`,60]];function h(e,t=new Date){let n=(t.getTime()-e.getTime())/1e3,r=m.find(([,e])=>n>=e);if(!r)return`just now`;let[i,a]=r;return new Intl.RelativeTimeFormat(`en`,{numeric:`always`}).format(-Math.floor(n/a),i)}function g({state:e,outcome:t,exitstatus:n,elapsed:r}){return e===`running`?`running`:e===`ended`?f({msgtype:`exitstatus`,exitstatus:n,...t===`exited`?{}:{reason:t}},Number(r),!1):`not started yet`}function _(e,t){let n=document.createElement(`p`);return n.className=e,n.textContent=t,n}var v=class{server;storage;titleOf;onOpen;#e=document.getElementById(`sessions-dialog`);#t=document.getElementById(`session-list`);#n=this.#e.querySelector(`.said`);constructor(e,t,n,r){this.server=e,this.storage=t,this.titleOf=n,this.onOpen=r}async show(){this.#t.replaceChildren(),this.#n.textContent=`Asking the server…`,this.#e.showModal();let e=await this.server.list();if(!e)return void(this.#n.textContent=`The server does not answer.`);e.sort((e,t)=>String(t.created).localeCompare(String(e.created)));let t=e.slice(0,p).map(e=>this.#i(e));this.#t.replaceChildren(...t),this.#r(e.length)}#r(e){let t=this.#t.childElementCount;this.#n.textContent=e===0?`You have no sessions yet. Run a program to start one.`:e>t?`The last ${t} of ${e}.`:``}#i(e){let t=document.createElement(`li`),n=this.titleOf(String(e.runtime)),r=h(new Date(String(e.created))),i=(this.storage.program(e.id)?.code)?.split(`
`).find(e=>e.trim()),a=(e,t,i)=>{let a=document.createElement(`button`);return a.type=`button`,a.className=e,a.textContent=t,a.setAttribute(`aria-label`,`${t} ${n}, ${r}`),a.addEventListener(`click`,i),a},o=a(`open`,`Open`,()=>{this.#e.close(),this.onOpen(e)}),s=a(`forget`,e.state===`ended`?`Forget`:`End`,async()=>{s.disabled=!0,await this.server.remove(e.links.self).catch(()=>{});let n=t.nextElementSibling??t.previousElementSibling;t.remove(),(n?.querySelector(`.forget`)??this.#e.querySelector(`form button`))?.focus(),this.#r(this.#t.childElementCount)});return t.append(_(`title`,`${n}: ${g(e)}`),_(`more`,[r,i].filter(Boolean).join(` · `)),o,s),t}},y=1e6;async function b(e){let t=new Blob([e]).stream().pipeThrough(new CompressionStream(`deflate-raw`)),n=new Uint8Array(await new Response(t).arrayBuffer());return btoa(Array.from(n,e=>String.fromCharCode(e)).join(``)).replaceAll(`+`,`-`).replaceAll(`/`,`_`).replaceAll(`=`,``)}async function x(e){let t=e.replaceAll(`-`,`+`).replaceAll(`_`,`/`),n=Uint8Array.from(atob(t),e=>e.charCodeAt(0)),r=new Blob([n]).stream().pipeThrough(new DecompressionStream(`deflate-raw`)).getReader(),i=new TextDecoder(`utf-8`,{fatal:!0}),a=``;for(;;){let{done:e,value:t}=await r.read();if(a+=i.decode(t,{stream:!e}),a.length>y)throw await r.cancel(),Error(`the program is too long`);if(e)return a}}async function S({runtime:e,code:t,session:n}){let r=new URLSearchParams;return n&&r.set(`session`,n),e&&r.set(`runtime`,e),t!==void 0&&r.set(`code`,await b(t)),`#${r}`}async function C(e){let t=new URLSearchParams(e.replace(/^#/,``)),[n,r,i]=[`runtime`,`code`,`session`].map(e=>t.get(e));if(i&&!/^[0-9a-f]{32}$/.test(i))throw Error(`the session id is malformed`);return!n&&!r&&!i?null:{...n?{runtime:n}:{},...r?{code:await x(r)}:{},...i?{session:i}:{}}}function w(e,t){try{return JSON.parse(e.getItem(t)??`null`)??void 0}catch{return}}var T=class{#e;#t;constructor({tab:e,lasting:t}=n()){this.#e=e,this.#t=t}get tab(){return w(this.#e,`livecode-page`)}set tab(e){this.#e.setItem(`livecode-page`,JSON.stringify(e))}draft(e){return this.#t.getItem(`livecode-draft:${e}`)??void 0}storeDraft({runtime:e,code:t}){this.#t.setItem(`livecode-draft:${e}`,t)}program(e){return this.#n.find(([t])=>t===e)?.[1]}storeProgram(e,t){let n=[...this.#n.filter(([t])=>t!==e),[e,t]].slice(-100);this.#t.setItem(`livecode-programs`,JSON.stringify(n))}get#n(){let e=w(this.#t,`livecode-programs`);return Array.isArray(e)?e:[]}},E=500,D=2e3,O=`Your own`,k=e=>document.getElementById(e),A=k(`runtime`),j=k(`notice`),M=new T,N=new c(new URL(`.`,location.href).href,n()),P=[],F,I={title:``,runtime:`python`,code:``},L={},R,z=e=>P.find(t=>t.name===e),B=e=>z(e)?.title??e,V=()=>F.getAttribute(`runtime`)??`python`,H=()=>({runtime:V(),code:F.code});function U(e){let t=z(e)?.example,n=M.draft(e);return[...t?[{title:`Hello`,runtime:e,code:t.trim()}]:[],...u(e),...n===void 0?[]:[{title:O,runtime:e,code:n}]]}function W(e){J(),I=e,F.load(e.runtime,e.code),clearTimeout(R),R=void 0,A.value=e.runtime,G()}function G(){let e=V();k(`examples`).replaceChildren(...U(e).map(K));let t=z(e)?.needs;j.textContent=t?`This machine cannot run ${B(e)} yet: ${t}`:``,q()}function K(e){let t=document.createElement(`button`);t.type=`button`,t.textContent=e.title;let n=e.title===I.title&&e.runtime===I.runtime;return t.setAttribute(`aria-pressed`,String(n)),t.addEventListener(`click`,()=>{W(e);let t=k(`examples`);[...t.children].find(({textContent:t})=>t===e.title)?.scrollIntoView({block:`nearest`,inline:`nearest`}),t.querySelector(`[aria-pressed=true]`)?.focus()}),t}function q(){M.tab={...H(),...L}}function J(){if(R===void 0)return;clearTimeout(R),R=void 0;let e=H();e.code!==I.code&&M.storeDraft(e),q()}function Y(){clearTimeout(R),R=setTimeout(J,E)}function X(e,t){let n=M.program(e),r=t.runtime??n?.runtime,i=t.code??n?.code;(r!==V()||i!==F.code)&&i!==void 0&&z(r)&&W({title:``,runtime:String(r),code:i}),L={session:e,isWatching:t.watch},F.follow(e,t),q()}async function Z(e){let{hash:t}=location;t&&history.replaceState(null,``,location.pathname+location.search);try{let{session:n,runtime:r,code:i}=await C(t)??{};n?X(n,{watch:!0,runtime:r,code:i}):i===void 0?e():W({title:``,runtime:z(r)?.name??`python`,code:i})}catch{e(),j.textContent=`This link is broken: a part of it seems to be missing.`}}function Q(e){if(!e){let[e={title:``,runtime:`python`,code:``}]=U(`python`);return W(e)}let{runtime:t,code:n,session:r,isWatching:i=!1}=e;W(U(t).find(e=>e.runtime===t&&e.code===n)??{title:``,runtime:t,code:n}),r&&X(r,{watch:i,runtime:t,code:n})}var $=()=>k(`share-dialog`).querySelector(`.said`);async function ee(){let e=e=>new URL(e,location.href.replace(/#.*/,``)).href,t=k(`code-link`);t.value=e(await S(H()));let n=F.session?.id;if(k(`watch`).hidden=!n,n){let t=k(`watch-link`);t.value=e(await S({...M.program(n),session:n}))}$().textContent=``,k(`share-dialog`).showModal()}async function te(e){e.select();try{await navigator.clipboard.writeText(e.value)}catch{document.execCommand(`copy`)}$().textContent=`Copied.`}async function ne(){for(;;){try{let e=await fetch(`${N.base}/runtimes`);if(e.ok)return await e.json()}catch{}j.textContent=`The server does not answer. Asking again…`,await new Promise(e=>setTimeout(e,D))}}function re(){for(let[e,t]of[[`On this server`,!0],[`Not installed here`,!1]]){let n=document.createElement(`optgroup`);n.label=e;for(let{name:e,title:r,available:i}of P)i===t&&n.append(new Option(r,e));n.childElementCount&&A.append(n)}A.disabled=!1,A.addEventListener(`change`,()=>{let e=U(A.value);W(e.find(({title:e})=>e===O)??e[0]??{title:``,runtime:A.value,code:``})})}function ie(e){let t=document.createElement(`live-code`),n={layout:`split`,keep:``,server:N.base,runtime:e};for(let[e,r]of Object.entries(n))t.setAttribute(e,r);return t.addEventListener(`livecode-change`,Y),t.addEventListener(`livecode-state`,()=>{let e=t.session?.id;e&&e!==L.session&&(L={session:e},M.storeProgram(e,H()),q())}),t}function ae(e){e.key!==`Enter`||!e.ctrlKey&&!e.metaKey||e.defaultPrevented||e.composedPath().some(e=>e instanceof HTMLInputElement||e instanceof HTMLDialogElement)||F.run()}async function oe(){[P]=await Promise.all([ne(),customElements.whenDefined(`live-code`)]),j.textContent=``,re();let e=M.tab;F=ie(e?.runtime??`python`),k(`place`).replaceChildren(F),await Z(()=>Q(e)),addEventListener(`pagehide`,J),addEventListener(`keydown`,ae),addEventListener(`hashchange`,()=>void Z(()=>{}));let t=k(`share`);t.disabled=!1,t.addEventListener(`click`,()=>void ee());for(let e of document.querySelectorAll(`.link`)){let t=e.querySelector(`input`);e.querySelector(`button`)?.addEventListener(`click`,()=>void te(t))}}var se=new v(N,M,B,({id:e})=>X(e,{watch:!1}));k(`sessions`).addEventListener(`click`,()=>void se.show()),oe();