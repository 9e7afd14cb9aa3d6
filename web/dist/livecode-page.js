function e(e){let t=new Map,n=t=>{try{return t(globalThis[e])}catch{return}};return{getItem:e=>t.get(e)??n(t=>t.getItem(e))??null,setItem(e,r){t.set(e,r),n(t=>t.setItem(e,r))},removeItem(e){t.delete(e),n(t=>t.removeItem(e))}}}var t;function n(){return t??={fetch:(e,t)=>fetch(e,t),open:e=>new WebSocket(e),later(e,t){let n=setTimeout(t,e);return()=>clearTimeout(n)},random:()=>Math.random(),hex:e=>Array.from(crypto.getRandomValues(new Uint8Array(e)),e=>e.toString(16).padStart(2,`0`)).join(``),lasting:e(`localStorage`),tab:e(`sessionStorage`),onWake(e){let t=globalThis,n=()=>globalThis.document?.hidden||e(),r=[`online`,`visibilitychange`,`pageshow`];for(let e of r)t.addEventListener?.(e,n);return()=>r.forEach(e=>t.removeEventListener?.(e,n))},base:globalThis.location?.href}}var r=class extends Error{status;field;msg;name=`LiveCodeError`;constructor(e,t,n,r){super(e),this.status=t,this.field=n,this.msg=r}},i=6e4,a=[408,409,429,502,503,504],o=class{environment;base;#e;constructor(e,t,n){this.environment=t;let r=new URL(e,t.base);if(this.base=r.origin+r.pathname.replace(/\/+$/,``),!n){let e=`livecode-token:${this.base}`;n=t.lasting.getItem(e)??t.hex(16),t.lasting.setItem(e,n)}this.#e=n}create(e,t){return this.#n(`${this.base}/sessions`,{method:`POST`,headers:{"Content-Type":`application/json`,"Idempotency-Key":t},body:JSON.stringify(e)})}find(e){return this.#n(e,{method:`GET`,headers:{}})}async list(){try{let e=await this.#t(`${this.base}/sessions`,{method:`GET`,headers:{}});return e.ok?await e.json():null}catch{return null}}async remove(e){await this.#t(e,{method:`DELETE`,headers:{},keepalive:!0})}session(e){return`${this.base}/sessions/${encodeURIComponent(e)}`}get oldSocket(){return`${this.base.replace(/^http/,`ws`)}/livecode`}stream(e,t){let n=new URL(e.links.stream,this.base.replace(/^http/,`ws`));return this.base.startsWith(`https:`)&&(n.protocol=`wss:`),n.searchParams.set(`after`,String(t)),n.href}#t(e,t){let n={...t.headers,Authorization:`Bearer ${this.#e}`};return this.environment.fetch(e,{...t,headers:n,signal:AbortSignal.timeout(i)})}async#n(e,t){let n,i={};try{n=await this.#t(e,t)}catch{return{is:`unreachable`}}try{i=await n.json()}catch{}let{status:o}=n;if(n.ok&&typeof i.links?.stream==`string`)return{is:`found`,document:i};if(t.body&&[404,405,501].includes(o))return{is:`old`};let s=new r(String(i.detail??i.title??`the server answers ${o}`),o,typeof i.field==`string`?i.field:void 0);if(a.includes(o)){let e=Number(n.headers.get(`Retry-After`)??NaN);return{is:`busy`,retryAfterMs:e>=0?e*1e3:void 0,error:s}}return{is:`refused`,error:s}}},s=[[{title:`Quiz`,runtime:`python`,code:`questions = [
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
`},{title:`Mouse game`,runtime:`python-canvas`,code:`# Catch what falls: move the basket with the mouse or a finger.
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
    # Without matplotlib: the same curve as an SVG, by hand.
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
livecode.send("table", columns=["planet", "distance", "year", "Kepler says"], rows=rows)
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
`},{title:`Paint`,runtime:`javascript-canvas`,code:`// Paint with the mouse or a finger; a key takes another colour.
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

// Chords, one after the other, each broken into its notes.
const chords = ["C4 E4 G4", "A3 C4 E4", "F3 A3 C4", "G3 B3 D4", "C4 E4 G4 C5"];

chords.forEach((chord, bar) => {
  const notes = chord.split(" ");
  notes.forEach((note, n) => livecode.send("play", { note, at: bar + n * 0.25, duration: 1.2 - n * 0.25, wave: "sine" }));
});
console.log(\`\${chords.length} bars\`);
`}]];function c(e){return(s.find(t=>t.some(t=>t.runtime===e))??[]).map(e=>({...e,code:e.code.trim()}))}function l(e,t){try{return JSON.parse(e.getItem(t)??`null`)??void 0}catch{return}}var u=class{#e;#t;constructor({tab:e,lasting:t}=n()){this.#e=e,this.#t=t}get tab(){return l(this.#e,`livecode-page`)}set tab(e){this.#e.setItem(`livecode-page`,JSON.stringify(e))}draft(e){return this.#t.getItem(`livecode-draft:${e}`)??void 0}keepDraft({runtime:e,code:t}){this.#t.setItem(`livecode-draft:${e}`,t)}program(e){return this.#n.find(([t])=>t===e)?.[1]}keepProgram(e,t){let n=this.#n.filter(([t])=>t!==e);this.#t.setItem(`livecode-programs`,JSON.stringify([...n,[e,t]].slice(-100)))}get#n(){let e=l(this.#t,`livecode-programs`);return Array.isArray(e)?e:[]}},d={cpu:`stopped: it used up its processor time`,memory:`stopped: it used up its memory`,output:`stopped: it printed too much`,cancelled:`stopped`,lost:`lost: what ran it has failed`};function f({exitstatus:e,reason:t},n,r){return t===`timeout`?n===void 0?`stopped: its time was up`:`stopped after ${Math.max(1,Math.round(n))} s`:t===`signalled`?r?`stopped`:`ended by signal ${Number(e)-128}`:typeof t==`string`?d[t]??`ended: ${t}`:e===0?`finished`:`ended with exit status ${Number(e)}`}var p=100;function m(e,t=new Date){let n=(t.getTime()-e.getTime())/1e3,[r,i]=[[`day`,86400],[`hour`,3600],[`minute`,60]].find(([,e])=>n>=e)??[`second`,1];return r===`second`?`just now`:new Intl.RelativeTimeFormat(`en`,{numeric:`always`}).format(-Math.floor(n/i),r)}function h({state:e,outcome:t,exitstatus:n,elapsed:r}){return e===`running`?`running`:e===`ended`?f({msgtype:`exitstatus`,exitstatus:n,...t===`exited`?{}:{reason:t}},Number(r),!1):`not started yet`}var g=class{server;memory;titleOf;open;#e=document.getElementById(`sessions-dialog`);#t=document.getElementById(`session-list`);#n=this.#e.querySelector(`.said`);constructor(e,t,n,r){this.server=e,this.memory=t,this.titleOf=n,this.open=r}async show(){this.#t.replaceChildren(),this.#n.textContent=`Asking the server…`,this.#e.showModal();let e=await this.server.list();if(!e)return void(this.#n.textContent=`The server does not answer.`);e.sort((e,t)=>String(t.created).localeCompare(String(e.created))),this.#t.replaceChildren(...e.slice(0,p).map(e=>this.#i(e))),this.#r(e.length)}#r(e){let t=this.#t.childElementCount;this.#n.textContent=e===0?`There is none yet: run a program.`:e>t?`The last ${t} of ${e}.`:``}#i(e){let t=document.createElement(`li`),n=(e,t)=>{let n=document.createElement(`p`);return n.className=e,n.textContent=t,n},r=this.titleOf(String(e.runtime)),i=m(new Date(String(e.created))),a=this.memory.program(e.id)?.code.split(`
`).find(e=>e.trim()),o=(e,t,n)=>{let a=document.createElement(`button`);return a.type=`button`,a.className=e,a.textContent=t,a.setAttribute(`aria-label`,`${t} ${r}, ${i}`),a.addEventListener(`click`,n),a},s=o(`open`,`Open`,()=>{this.#e.close(),this.open(e)}),c=o(`forget`,e.state===`ended`?`Forget`:`End`,async()=>{c.disabled=!0,await this.server.remove(e.links.self).catch(()=>{});let n=t.nextElementSibling??t.previousElementSibling;t.remove(),(n?.querySelector(`.forget`)??this.#e.querySelector(`form button`))?.focus(),this.#r(this.#t.childElementCount)});return t.append(n(`title`,`${r}: ${h(e)}`),n(`more`,[i,a].filter(Boolean).join(` · `)),s,c),t}},_=1e6;async function v(e){let t=new Blob([e]).stream().pipeThrough(new CompressionStream(`deflate-raw`)),n=new Uint8Array(await new Response(t).arrayBuffer());return btoa(Array.from(n,e=>String.fromCharCode(e)).join(``)).replaceAll(`+`,`-`).replaceAll(`/`,`_`).replaceAll(`=`,``)}async function y(e){let t=Uint8Array.from(atob(e.replaceAll(`-`,`+`).replaceAll(`_`,`/`)),e=>e.charCodeAt(0)),n=new Blob([t]).stream().pipeThrough(new DecompressionStream(`deflate-raw`)).getReader(),r=new TextDecoder(`utf-8`,{fatal:!0}),i=``;for(;;){let{done:e,value:t}=await n.read();if(i+=r.decode(t,{stream:!e}),i.length>_)throw await n.cancel(),Error(`the program is too long`);if(e)return i}}async function b({runtime:e,code:t,session:n}){let r=new URLSearchParams;return n&&r.set(`session`,n),e&&r.set(`runtime`,e),t!==void 0&&r.set(`code`,await v(t)),`#${r}`}async function x(e){let t=new URLSearchParams(e.replace(/^#/,``)),[n,r,i]=[`runtime`,`code`,`session`].map(e=>t.get(e));if(i&&!/^[0-9a-f]{32}$/.test(i))throw Error(`it names no session`);return!n&&!r&&!i?null:{...n?{runtime:n}:{},...r?{code:await y(r)}:{},...i?{session:i}:{}}}var S=500,C=2e3,w=e=>document.getElementById(e),T=w(`runtime`),E=w(`notice`),D=new u,O=new o(new URL(`.`,location.href).href,n()),k=[],A,j={title:``,runtime:`python`,code:``},M=e=>k.find(t=>t.name===e)?.title??e,N=()=>A.getAttribute(`runtime`)??`python`;function P(e){let t=k.find(({name:t})=>t===e),n=D.draft(e);return[...t?.example?[{title:`Hello`,runtime:e,code:t.example.trim()}]:[],...c(e),...n===void 0?[]:[{title:`Your own`,runtime:e,code:n}]]}function F(e){B(),j=e,A.load(e.runtime,e.code),clearTimeout(z),z=void 0,T.value=e.runtime,I()}function I(){let e=N(),t=P(e).map(e=>{let t=document.createElement(`button`);return t.type=`button`,t.textContent=e.title,t.setAttribute(`aria-pressed`,String(e.title===j.title&&e.runtime===j.runtime)),t.addEventListener(`click`,()=>{F(e),[...w(`examples`).children].find(({textContent:t})=>t===e.title)?.scrollIntoView({block:`nearest`,inline:`nearest`}),w(`examples`).querySelector(`[aria-pressed=true]`)?.focus()}),t});w(`examples`).replaceChildren(...t);let n=k.find(({name:t})=>t===e)?.needs;E.textContent=n?`This machine cannot run ${M(e)} yet: ${n}`:``,R()}var L={};function R(){D.tab={runtime:N(),code:A.code,...L}}var z;function B(){if(z===void 0)return;clearTimeout(z),z=void 0;let e={runtime:N(),code:A.code};e.code!==j.code&&D.keepDraft(e),R()}function V(){clearTimeout(z),z=setTimeout(B,S)}function H(e,t){let n=D.program(e),r=t.runtime??n?.runtime,i=t.code??n?.code;(r!==N()||i!==A.code)&&i!==void 0&&k.some(({name:e})=>e===r)&&F({title:``,runtime:String(r),code:i}),L={session:e,isWatching:t.watch},A.follow(e,t),R()}async function U(e){let{hash:t}=location;t&&history.replaceState(null,``,location.pathname+location.search);try{let{session:n,runtime:r,code:i}=await x(t)??{};n?H(n,{watch:!0,runtime:r,code:i}):i===void 0?e():F({title:``,runtime:k.find(({name:e})=>e===r)?.name??`python`,code:i})}catch{e(),E.textContent=`This link is broken: a part of it seems to be missing.`}}function W(e){if(!e)return F(P(`python`)[0]??{title:``,runtime:`python`,code:``});let{runtime:t,code:n,session:r,isWatching:i=!1}=e;F(P(t).find(e=>e.runtime===t&&e.code===n)??{title:``,runtime:t,code:n}),r&&H(r,{watch:i,runtime:t,code:n})}async function G(){let e=w(`share-dialog`),t=e=>new URL(e,location.href.replace(/#.*/,``)).href,n={runtime:N(),code:A.code};w(`code-link`).value=t(await b(n));let r=A.session?.id;w(`watch`).hidden=!r,r&&(w(`watch-link`).value=t(await b({...D.program(r),session:r}))),e.querySelector(`.said`).textContent=``,e.showModal()}async function K(e){e.select();try{await navigator.clipboard.writeText(e.value)}catch{document.execCommand(`copy`)}w(`share-dialog`).querySelector(`.said`).textContent=`Copied.`}async function q(){for(;;){try{let e=await fetch(`${O.base}/runtimes`);if(e.ok)return await e.json()}catch{}E.textContent=`The server does not answer. Asking again…`,await new Promise(e=>setTimeout(e,C))}}function J(){for(let[e,t]of[[`On this server`,!0],[`Not installed here`,!1]]){let n=document.createElement(`optgroup`);n.label=e;for(let{name:e,title:r}of k.filter(({available:e})=>e===t))n.append(new Option(r,e));n.childElementCount&&T.append(n)}T.disabled=!1,T.addEventListener(`change`,()=>{let e=P(T.value);F(e.find(({title:e})=>e===`Your own`)??e[0]??{title:``,runtime:T.value,code:``})})}async function Y(){[k]=await Promise.all([q(),customElements.whenDefined(`live-code`)]),E.textContent=``,J();let e=D.tab;A=document.createElement(`live-code`);for(let[t,n]of[[`layout`,`split`],[`keep`,``],[`server`,O.base],[`runtime`,e?.runtime??`python`]])A.setAttribute(t,n);A.addEventListener(`livecode-change`,V),A.addEventListener(`livecode-state`,()=>{let{session:e}=A;e?.id&&e.id!==L.session&&(L={session:e.id},D.keepProgram(e.id,{runtime:N(),code:A.code}),R())}),w(`place`).replaceChildren(A),await U(()=>W(e)),addEventListener(`pagehide`,B),addEventListener(`keydown`,e=>{let t=e.composedPath().some(e=>e instanceof HTMLInputElement||e instanceof HTMLDialogElement);e.key===`Enter`&&(e.ctrlKey||e.metaKey)&&!e.defaultPrevented&&!t&&A.run()}),addEventListener(`hashchange`,()=>void U(()=>{}));let t=w(`share`);t.disabled=!1,t.addEventListener(`click`,()=>void G());for(let e of document.querySelectorAll(`.link`))e.querySelector(`button`)?.addEventListener(`click`,()=>void K(e.querySelector(`input`)))}var X=new g(O,D,M,({id:e})=>H(e,{watch:!1}));w(`sessions`).addEventListener(`click`,()=>void X.show()),Y();