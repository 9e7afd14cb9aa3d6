function e(e){let t=new Map,n=t=>{try{return t(globalThis[e])}catch{return}};return{getItem:e=>t.get(e)??n(t=>t.getItem(e))??null,setItem(e,r){t.set(e,r),n(t=>t.setItem(e,r))},removeItem(e){t.delete(e),n(t=>t.removeItem(e))}}}var t;function n(){return t??={fetch:(e,t)=>fetch(e,t),open:e=>new WebSocket(e),later(e,t){let n=setTimeout(t,e);return()=>clearTimeout(n)},random:()=>Math.random(),hex:e=>Array.from(crypto.getRandomValues(new Uint8Array(e)),e=>e.toString(16).padStart(2,`0`)).join(``),lasting:e(`localStorage`),tab:e(`sessionStorage`),onWake(e){let t=globalThis,n=()=>globalThis.document?.hidden||e(),r=[`online`,`visibilitychange`,`pageshow`];for(let e of r)t.addEventListener?.(e,n);return()=>r.forEach(e=>t.removeEventListener?.(e,n))},base:globalThis.location?.href}}var r=class extends Error{status;field;msg;code;name=`LiveCodeError`;constructor(e,t,n,r,i){super(e),this.status=t,this.field=n,this.msg=r,this.code=i}},i=`token_unavailable`,a=[408,429,500,502,503,504],o=class extends r{isTemporary;constructor(e){let t=e instanceof Error?e.message:String(e),n=e instanceof r?e.status:void 0;super(`no token could be fetched: ${t}`,n,void 0,void 0,i);let o=e instanceof TypeError||e?.name===`TimeoutError`;this.isTemporary=n===void 0?o:a.includes(n)}};function s(e){let t=typeof e==`string`?e.trim():``;if(!/^[\x21-\x7e]+$/.test(t))throw Error(`a token is a text of visible ASCII characters`);return t}var c=class e{source;static#e=new WeakMap;#t;#n;constructor(e){this.source=e,typeof e==`string`&&(this.#t=s(e))}static of(t){if(typeof t==`string`)return new e(t);let n=e.#e.get(t)??new e(t);return e.#e.set(t,n),n}get token(){return this.#t}async renew(e){let{source:t}=this;if(typeof t==`string`)return;if(this.#t!==e)return this.#t;this.#n??=Promise.resolve(e).then(t).then(s).then(e=>this.#t=e).catch(e=>{throw new o(e)}).finally(()=>this.#n=void 0);let n=await this.#n;return n===e?void 0:n}},l=6e4,ee=3e5,te=[408,409,429,502,503,504],ne=[404,405,501],re=`token_required`,u=e=>typeof e==`string`?e:void 0;async function d(e){try{return await e.json()??{}}catch{return{}}}function f(e,t){return new r(String(t.detail??t.title??`the server responded with ${e}`),e,u(t.field),void 0,u(t.code))}var ie=class{environment;base;#e;#t;#n;constructor(e,t,n){this.environment=t;let r=new URL(e,t.base);this.base=r.origin+r.pathname.replace(/\/+$/,``),this.#t=!!n;let{base:i}=t;this.#n=i!==void 0&&new URL(i).origin===r.origin,n??=t.lasting.getItem(this.#r)??void 0,n?this.#e=c.of(n):this.#n||this.#i()}get#r(){return`livecode-token:${this.base}`}#i(){let e=this.environment.hex(16);this.environment.lasting.setItem(this.#r,e),this.#e=c.of(e)}async forgetUnusedToken(){if(!this.#n||this.#t||!this.#e)return;let e=await this.get(`/sessions?limit=1`);!e.ok||(await e.json()).length>0||(this.environment.lasting.removeItem(this.#r),this.#e=void 0)}create(e,t){return this.#s(`${this.base}/sessions`,{method:`POST`,headers:{"Content-Type":`application/json`,"Idempotency-Key":t},body:JSON.stringify(e)})}find(e){return this.#s(e,{method:`GET`,headers:{}})}redeem(e){return this.#s(`${this.base}/shares/redeem`,{method:`POST`,headers:{"Content-Type":`application/json`},body:JSON.stringify({secret:e})},(e,t)=>this.#o(e,t))}get(e){return this.#a(this.base+e,{method:`GET`,headers:{}})}post(e,t){let n={"Content-Type":`application/json`},r=JSON.stringify(t);return this.#a(this.base+e,{method:`POST`,headers:n,body:r})}async remove(e,t=`no_such_session`){let n=await this.#a(e,{method:`DELETE`,headers:{},keepalive:!0});if(n.status===204)return;let r=f(n.status,await d(n));if(r.status!==404||r.code!==t)throw r}sessionUrl(e){return`${this.base}/sessions/${encodeURIComponent(e)}`}async v01SocketUrl(){let e=`${this.base.replace(/^http/,`ws`)}/livecode`;if(!this.#t)return e;try{let t=await this.#a(`${this.base}/tickets`,{method:`POST`,headers:{}}),{ticket:n}=await t.json();if(t.ok&&typeof n==`string`)return`${e}?ticket=${encodeURIComponent(n)}`}catch{}return e}streamUrl(e,t){let n=new URL(e.links.stream,this.base.replace(/^http/,`ws`));return this.base.startsWith(`https:`)&&(n.protocol=`wss:`),n.searchParams.set(`after`,String(t)),n.href}async#a(e,t){let n=this.#e;if(!n)return this.#o(e,t);let r=n.token??await n.renew(),i=await this.#o(e,t,r);if(i.status!==401)return i;let a=await n.renew(r);return a===void 0?i:this.#o(e,t,a)}#o(e,t,n){let r=n===void 0?{}:{Authorization:`Bearer ${n}`},i=this.#n?{"X-Requested-With":`livecode`}:{},a={...t.headers,...r,...i},o=AbortSignal.timeout(l);return this.environment.fetch(e,{...t,headers:a,signal:o})}async#s(e,t,n=(e,t)=>this.#a(e,t)){let r;try{r=await n(e,t)}catch(e){return e instanceof o?e.isTemporary?{kind:`busy`,retryAfterMs:void 0,error:e}:{kind:`refused`,error:e}:{kind:`unreachable`}}let i=await d(r),{status:a}=r,s=i.links;if(r.ok&&typeof s?.stream==`string`)return{kind:`found`,document:i};if(e===`${this.base}/sessions`&&ne.includes(a))return{kind:`v0.1`};let c=f(a,i);if(c.code===re&&!this.#e)return this.#i(),this.#s(e,t);if(te.includes(a)){let e=Number(r.headers.get(`Retry-After`)??NaN)*1e3;return e>ee?{kind:`refused`,error:c}:{kind:`busy`,retryAfterMs:e>=0?e:void 0,error:c}}return{kind:`refused`,error:c}}},ae=[[{title:`Quiz`,runtime:`python`,code:`questions = [
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
`}]];function oe(e){let t=t=>t.runtime===e;return(ae.find(e=>e.some(t))??[]).map(e=>({...e,code:e.code.trim()}))}var se={cpu:`stopped: it used up its processor time`,memory:`stopped: it used up its memory`,output:`stopped: it printed too much`,cancelled:`stopped`,lost:`lost: the server's machine or the supervisor of the program failed`};function ce({exitstatus:e,reason:t},n,r){return t===`timeout`?n===void 0?`stopped: its time was up`:`stopped after ${Math.max(1,Math.round(n))} s`:t===`signalled`?r?`stopped`:`ended by signal ${Number(e)-128}`:typeof t==`string`?se[t]??`ended: ${t}`:e===0?`finished`:`ended with exit status ${Number(e)}`}var p=`The server does not answer. Try again in a moment.`,m=e=>e instanceof r?e.message:p,le=.75,ue=[[36e5,`hours`],[6e4,`minutes`],[1e3,`seconds`]],h=[[1e9,`GB`],[1e6,`MB`],[1e3,`kB`],[1,`bytes`]],g=e=>e.toLocaleString(`en`,{maximumFractionDigits:1});function _({used:e,limit:t},n){let[r,i]=n.find(([e])=>t>=2*e)??n[n.length-1];return[g(e/r),`${g(t/r)} ${i}`]}function de(e,t){let{limit:n,used:r,left:i,scope:a}=e,o={address:`You and the others at your address have`,token:`With this token you have`}[a]??`You have`,s=(n,r)=>{let[a,s]=_(e,n);if(i>0)return`${o} used ${a} of ${s} of ${r} today.`;let c=e.refilled?t(new Date(e.refilled)):`tomorrow`;return`${o} used up the ${s} of ${r} for today. You can run programs again from ${c} on; if you need more, ask the operator of this server.`};switch(e.quota){case`cpu_ms_per_day`:return s(ue,`CPU time`);case`output_bytes_per_day`:return s(h,`output`);case`creations_per_min`:return i>0?void 0:`${o} started ${n} programs in a minute, which is the most. Wait a moment.`;case`sessions_running_max`:return i>0?void 0:`${o} ${n} programs running, which is the most. Others wait until one ends.`;case`kept_bytes_max`:{let[t,i]=_(e,h);return r<n*le?void 0:`Ended sessions take ${t} of ${i} on the server. Beyond that, the oldest are forgotten.`}default:return}}function fe(e,t=e=>e.toLocaleTimeString([],{hour:`2-digit`,minute:`2-digit`})){return e.filter(t=>e.every(n=>n.quota!==t.quota||n.left>t.left||n.left===t.left&&e.indexOf(n)>=e.indexOf(t))).map(e=>de(e,t)).filter(e=>e!==void 0).join(` `)}var pe=100,me=[[`day`,86400],[`hour`,3600],[`minute`,60]];function he(e,t=new Date){let n=(t.getTime()-e.getTime())/1e3,r=me.find(([,e])=>n>=e);if(!r)return`just now`;let[i,a]=r;return new Intl.RelativeTimeFormat(`en`,{numeric:`always`}).format(-Math.floor(n/a),i)}function ge({state:e,outcome:t,exitstatus:n,elapsed:r}){return e===`running`?`running`:e===`ended`?ce({msgtype:`exitstatus`,exitstatus:n,...t===`exited`?{}:{reason:t}},Number(r),!1):`not started yet`}function _e(e,t){let n=document.createElement(`p`);return n.className=e,n.textContent=t,n}async function ve(e,t){try{let n=await e.get(`/sessions${t}`);if(!n.ok)return null;let r=/<([^>]*)>;\s*rel="next"/.exec(n.headers.get(`Link`)??``)?.[1];return{sessions:await n.json(),next:r&&new URL(r,e.base).search}}catch{return null}}var ye=class{server;storage;titles;onOpen;#e=document.getElementById(`sessions-dialog`);#t=document.getElementById(`session-list`);#n=this.#e.querySelector(`.said`);#r=document.getElementById(`quota`);#i=this.#e.querySelector(`.filters`);#a=document.getElementById(`session-state`);#o=document.getElementById(`session-runtime`);#s=document.getElementById(`more-sessions`);#c={};#l;constructor(e,t,n,r){this.server=e,this.storage=t,this.titles=n,this.onOpen=r,this.#o.append(new Option(`All`,``));for(let[e,t]of n)this.#o.append(new Option(t,e));for(let e of[this.#a,this.#o])e.addEventListener(`change`,()=>void this.#f());this.#s.addEventListener(`click`,()=>void this.#p())}show(){return this.#e.showModal(),this.#u(),this.#f()}async#u(){this.#r.textContent=``;try{let e=await this.server.get(`/quota`);if(!e.ok)return;let{quotas:t}=await e.json();this.#r.textContent=fe(t)}catch{}}get#d(){return!!(this.#a.value||this.#o.value)}async#f(){let e=new URLSearchParams({limit:String(pe)});this.#a.value&&e.set(`state`,this.#a.value),this.#o.value&&e.set(`runtime`,this.#o.value),this.#t.replaceChildren(),this.#n.textContent=`Asking the server…`,await this.#m(`?${e}`)}async#p(){let e=this.#t.lastElementChild;await this.#m(this.#l??``),(e?e.nextElementSibling:this.#t.firstElementChild)?.querySelector(`.open`)?.focus()}async#m(e){let t=this.#c={};this.#s.hidden=!0;let n=await ve(this.server,e);if(this.#c===t){if(!n)return void(this.#n.textContent=`The server does not answer.`);this.#t.append(...n.sessions.map(e=>this.#g(e))),this.#l=n.next,this.#s.hidden=!n.next,this.#h()}}#h(){let e=this.#t.childElementCount,t=e===0&&!this.#l;this.#i.hidden=t&&!this.#d,this.#n.textContent=this.#i.hidden?`You have no sessions yet. Run a program to start one.`:t?`You have no such session.`:this.#l?`The last ${e}.`:this.#d?`${e} in all.`:``}#g(e){let t=document.createElement(`li`),n=String(e.runtime),r=this.titles.get(n)??n,i=he(new Date(String(e.created))),a=(this.storage.program(e.id)?.code)?.split(`
`).find(e=>e.trim()),o=(e,t,n)=>{let a=document.createElement(`button`);return a.type=`button`,a.className=e,a.textContent=t,a.setAttribute(`aria-label`,`${t} ${r}, ${i}`),a.addEventListener(`click`,n),a},s=o(`open`,`Open`,()=>{this.#e.close(),this.onOpen(e)}),c=o(`forget`,e.state===`ended`?`Forget`:`End`,async()=>{c.disabled=!0;try{await this.server.remove(e.links.self)}catch(e){c.disabled=!1,document.activeElement===document.body&&c.focus(),this.#n.textContent=m(e);return}let n=t.nextElementSibling??t.previousElementSibling;t.remove(),(n?.querySelector(`.forget`)??this.#e.querySelector(`form button`))?.focus(),this.#h()});return t.append(_e(`title`,`${r}: ${ge(e)}`),_e(`more`,[i,a].filter(Boolean).join(` · `)),s,c),t}},be=1e6;async function xe(e){let t=new Blob([e]).stream().pipeThrough(new CompressionStream(`deflate-raw`)),n=new Uint8Array(await new Response(t).arrayBuffer());return btoa(Array.from(n,e=>String.fromCharCode(e)).join(``)).replaceAll(`+`,`-`).replaceAll(`/`,`_`).replaceAll(`=`,``)}async function Se(e){let t=e.replaceAll(`-`,`+`).replaceAll(`_`,`/`),n=Uint8Array.from(atob(t),e=>e.charCodeAt(0)),r=new Blob([n]).stream().pipeThrough(new DecompressionStream(`deflate-raw`)).getReader(),i=new TextDecoder(`utf-8`,{fatal:!0}),a=``;for(;;){let{done:e,value:t}=await r.read();if(a+=i.decode(t,{stream:!e}),a.length>be)throw await r.cancel(),Error(`the program is too long`);if(e)return a}}async function v({runtime:e,code:t,share:n}){let r=new URLSearchParams;return n&&r.set(`share`,n),e&&r.set(`runtime`,e),t!==void 0&&r.set(`code`,await xe(t)),`#${r}`}async function Ce(e){let t=new URLSearchParams(e.replace(/^#/,``)),[n,r,i,a]=[`runtime`,`code`,`session`,`share`].map(e=>t.get(e));if(i&&!/^[0-9a-f]{32}$/.test(i))throw Error(`the session id is malformed`);return!n&&!r&&!i&&!a?null:{...n?{runtime:n}:{},...r?{code:await Se(r)}:{},...i?{session:i}:{},...a?{share:a}:{}}}var y=e=>document.getElementById(e),b={watch:`watch`,join:`join`};function x(e,t,n){return`until ${new Intl.DateTimeFormat(t,{dateStyle:`medium`,timeStyle:`short`,...n?{timeZone:n}:{}}).format(new Date(e))}`}var we=class{server;say;#e=y(`session-shares`);#t=y(`made-share`);#n=y(`share-link`);#r=y(`share-list`);#i={watch:y(`share-watch`),join:y(`share-join`)};#a=``;#o={};constructor(e,t){this.server=e,this.say=t;for(let e of[`watch`,`join`])this.#i[e].addEventListener(`click`,()=>void this.#c(e))}async show(e,t){this.#e.hidden=this.#t.hidden=!0,this.#n.value=``,this.#r.replaceChildren(),this.#a=e===void 0?``:`/sessions/${e}/shares`,this.#o=t,e!==void 0&&await this.#s()}async#s(){let e=this.#a,t=await this.#u(()=>this.server.get(e),{silent:[403,404]});t&&e===this.#a&&(this.#e.hidden=!1,this.#r.replaceChildren(...t.map(e=>this.#d(e))))}async#c(e){let t=Object.values(this.#i);for(let e of t)e.disabled=!0;try{await this.#l(e)}finally{for(let e of t)e.disabled=!1;document.activeElement===document.body&&this.#i[e].focus()}}async#l(e){let[t,n]=[this.#a,this.#o],r=await this.#u(()=>this.server.post(t,{rights:e}));if(!r?.link)return;let i=new URLSearchParams(new URL(r.link).hash.slice(1)).get(`share`)??``,a=await v({...n,share:i});if(t!==this.#a)return;this.#n.value=new URL(a,location.href.replace(/#.*/,``)).href;let o=this.#t.querySelector(`label`);o.textContent=`Link to ${b[e]} the program, ${x(r.expires)}`,this.#t.hidden=!1,this.#n.select(),this.say(`The link is shown only now.`),await this.#s()}async#u(e,{silent:t=[]}={}){let n=this.#a,r=p;try{let n=await e();if(n.ok)return await n.json();if(t.includes(n.status))return;r=(await n.json()).detail??`The server does not answer. Try again in a moment.`}catch{}n===this.#a&&this.say(r)}#d({id:e,rights:t,expires:n}){let r=this.#a,i=document.createElement(`li`),a=document.createElement(`span`);a.textContent=`A link to ${b[t]}, ${x(n)}`;let o=document.createElement(`button`);return o.type=`button`,o.textContent=`Revoke`,o.setAttribute(`aria-label`,`Revoke the link to ${b[t]}`),o.addEventListener(`click`,async()=>{o.disabled=!0;try{await this.server.remove(`${this.server.base}${r}/${e}`,`no_such_share`)}catch(e){o.disabled=!1,document.activeElement===document.body&&o.focus(),r===this.#a&&this.say(m(e));return}if(r!==this.#a)return;i.isConnected||await this.#s();let t=i.nextElementSibling??i.previousElementSibling;i.remove(),(t?.querySelector(`button`)??y(`share-watch`)).focus(),this.#t.hidden=!0,this.say(`The link does not open the session any more, and whoever watched by it is disconnected.`)}),i.append(a,o),i}},S=e=>document.getElementById(e),Te=`This server knows its users by tokens. Whoever runs it can give you one.`,Ee=`Your token is not valid any more: it has expired or was revoked. Sign in with a new one to continue where you are. Your programs run on.`,C=`This token is not valid: it is wrong, has expired or was revoked.`,w=class e{base;store;#e=S(`sign-in`);#t=S(`token`);#n=S(`sign-in-status`);#r=this.#e.querySelector(`button`);#i;#a;constructor(e,t){this.base=e,this.store=t,this.#i=`livecode-sign-in:${e}`,this.#e.addEventListener(`submit`,e=>{e.preventDefault(),this.#s()}),addEventListener(`storage`,({key:e,newValue:t})=>{e===this.#i&&this.#u(t)})}get token(){return this.store.getItem(this.#i)??void 0}static headers(e){return e?{Authorization:`Bearer ${e}`}:{}}source=e=>{let{token:t}=this;return t&&t!==e?Promise.resolve(t):this.#o(t?Ee:Te)};dismiss(){this.#e.hidden=!0,this.#t.value=``,this.#a=void 0}forget(){this.store.removeItem(this.#i)}#o(e){if(this.#a)return this.#a.promise;this.#a=Promise.withResolvers(),this.#e.querySelector(`.why`).textContent=e,this.#n.textContent=``,this.#e.hidden=!1;let t=document.querySelectorAll(`dialog[open]`);for(let e of t)e.close();let{activeElement:n}=document;return n&&n!==document.body||this.#t.focus(),this.#a.promise}async#s(){let e=this.#t.value.trim();this.#r.disabled=!0,this.#n.textContent=`Asking the server…`;let t=await this.#c(e);this.#r.disabled=!1,this.#t.setAttribute(`aria-invalid`,String(t!==``)),this.#n.textContent=t,t?this.#t.select():this.#l(e)}async#c(t){if(!/^[\x21-\x7e]+$/.test(t))return C;try{let n=await fetch(`${this.base}/runtimes`,{headers:e.headers(t)});return n.ok?``:n.status===401?C:n.status===429?`Too many wrong tokens came from here. Wait ${Number(n.headers.get(`Retry-After`))||10} seconds, and try again.`:p}catch{return p}}#l(e){this.store.setItem(this.#i,e),this.#e.hidden=!0,this.#t.value=``,this.#a?.resolve(e),this.#a=void 0}#u(e){e&&this.#a?this.#l(e):!e&&!this.#a&&location.reload()}};function T(e,t){try{return JSON.parse(e.getItem(t)??`null`)??void 0}catch{return}}var De=class{#e;#t;constructor({tab:e,lasting:t}=n()){this.#e=e,this.#t=t}get tab(){return T(this.#e,`livecode-page`)}set tab(e){this.#e.setItem(`livecode-page`,JSON.stringify(e))}draft(e){return this.#t.getItem(`livecode-draft:${e}`)??void 0}storeDraft({runtime:e,code:t}){this.#t.setItem(`livecode-draft:${e}`,t)}program(e){return this.#n.find(([t])=>t===e)?.[1]}storeProgram(e,t){let n=[...this.#n.filter(([t])=>t!==e),[e,t]].slice(-100);this.#t.setItem(`livecode-programs`,JSON.stringify(n))}forget(e){for(let t of e)this.#t.removeItem(`livecode-draft:${t}`);this.#t.removeItem(`livecode-programs`),this.#e.removeItem(`livecode-page`)}get#n(){let e=T(this.#t,`livecode-programs`);return Array.isArray(e)?e:[]}},Oe=500,ke=2e3,Ae=`This link opens no session any more: it has expired or was revoked, or the program has ended and is not kept. Whoever sent it to you can make a new one.`,E=`Your own`,D=e=>document.getElementById(e),O=D(`runtime`),k=D(`notice`),A=new De,j=new URL(`.`,location.href).href,M=new w(j.replace(/\/+$/,``),n().lasting),N=[],P,F,I,L={title:``,runtime:`python`,code:``},R={},z,B=e=>N.find(t=>t.name===e),je=e=>B(e)?.title??e,V=()=>P.getAttribute(`runtime`)??`python`,H=()=>({runtime:V(),code:P.code});function U(e){let t=B(e)?.example,n=A.draft(e);return[...t?[{title:`Hello`,runtime:e,code:t.trim()}]:[],...oe(e),...n===void 0?[]:[{title:E,runtime:e,code:n}]]}function Me(e){let t=B(e)?.editor_mode;t?P.setAttribute(`language`,t):P.removeAttribute(`language`)}function W(e){K(),L=e,Me(e.runtime),P.load(e.runtime,e.code),clearTimeout(z),z=void 0,O.value=e.runtime,Ne()}function Ne(){let e=V();D(`examples`).replaceChildren(...U(e).map(Pe));let{needs:t,check:n}=B(e)??{},r=t??n?.failure;k.textContent=r?`This machine cannot run ${je(e)} yet: ${r}`:``,G()}function Pe(e){let t=document.createElement(`button`);t.type=`button`,t.textContent=e.title;let n=e.title===L.title&&e.runtime===L.runtime;return t.setAttribute(`aria-pressed`,String(n)),t.addEventListener(`click`,()=>{W(e);let t=D(`examples`);[...t.children].find(({textContent:t})=>t===e.title)?.scrollIntoView({block:`nearest`,inline:`nearest`}),t.querySelector(`[aria-pressed=true]`)?.focus()}),t}function G(){A.tab={...H(),...R}}function K(){if(z===void 0)return;clearTimeout(z),z=void 0;let e=H();e.code!==L.code&&A.storeDraft(e),G()}function Fe(){clearTimeout(z),z=setTimeout(K,Oe)}function q({runtime:e,code:t}){let n=e===V()&&t===P.code,r=B(e)!==void 0||$();!n&&e!==void 0&&t!==void 0&&r&&W({title:``,runtime:e,code:t})}function J(e,t){let n=A.program(e);q({runtime:t.runtime??n?.runtime,code:t.code??n?.code}),R={session:e,isWatching:t.watch},P.follow(e,t),G()}function Y(e,t){q(t),R={share:e},P.followShare(e);let{session:n}=P;n?.ended.catch(({code:e})=>{e===`no_such_share`&&P.session===n&&(k.textContent=Ae,R={},G())}),G()}var X,Ie=()=>{},Le=e=>/[#&]share=/.test(e??``);function Re(){let e=ze();if(e){if(X===void 0)return void Z(e,()=>{});X=e,Le(e)&&Ie()}}function ze(){let{hash:e}=location;return e&&history.replaceState(null,``,location.pathname+location.search),e}async function Z(e,t){try{let{session:n,share:r,runtime:i,code:a}=await Ce(e)??{};r?Y(r,{runtime:i,code:a}):n?J(n,{watch:!0,runtime:i,code:a}):a===void 0?t():W({title:``,runtime:B(i)?.name??`python`,code:a})}catch{t(),k.textContent=`This link is broken: a part of it seems to be missing.`}}function Be(e){if(!e){let[e={title:``,runtime:`python`,code:``}]=U(`python`);return W(e)}let{runtime:t,code:n,session:r,share:i,isWatching:a=!1}=e;W(U(t).find(e=>e.runtime===t&&e.code===n)??{title:``,runtime:t,code:n}),i?Y(i,{runtime:t,code:n}):r&&J(r,{watch:a,runtime:t,code:n})}var Q=()=>D(`share-dialog`).querySelector(`.said`);async function Ve(){let e=e=>new URL(e,location.href.replace(/#.*/,``)).href,t=D(`code-link`);t.value=e(await v(H())),Q().textContent=``,D(`share-dialog`).showModal();let{session:n}=P,r=n?.rights?void 0:n?.id;await I.show(r,r!==void 0&&A.program(r)||{})}async function He(e){e.select();try{await navigator.clipboard.writeText(e.value)}catch{document.execCommand(`copy`)}Q().textContent=`Copied.`}var $=()=>document.body.classList.contains(`visitor`);async function Ue(e){for(;;){try{let{token:t}=M,n=await fetch(new URL(`runtimes`,j),{headers:w.headers(t)});if(n.ok)return await n.json();if(n.status===401){if(k.textContent=``,e())return M.dismiss(),We(t),document.body.classList.add(`visitor`),[];let n=new Promise(e=>Ie=e);await Promise.race([M.source(t),n]);continue}}catch{}k.textContent=`The server does not answer. Asking again…`,await new Promise(e=>setTimeout(e,ke))}}function We(e){let t=D(`visitor-sign-in`);t.hidden=!1,t.addEventListener(`click`,()=>{M.source(e).then(()=>location.reload()),D(`token`).focus()})}function Ge(){for(let[e,t]of[[`On this server`,!0],[`Not installed here`,!1]]){let n=document.createElement(`optgroup`);n.label=e;for(let{name:e,title:r,available:i}of N)i===t&&n.append(new Option(r,e));n.childElementCount&&O.append(n)}O.disabled=!1,O.addEventListener(`change`,()=>{let e=U(O.value);W(e.find(({title:e})=>e===E)??e[0]??{title:``,runtime:O.value,code:``})})}function Ke(e){let t=document.createElement(`live-code`),n=$()?{visitor:``}:{},r={layout:`split`,keep:``,server:F.base,runtime:e,...n};for(let[e,n]of Object.entries(r))t.setAttribute(e,n);return M.token&&(t.token=M.source),t.addEventListener(`livecode-change`,Fe),t.addEventListener(`livecode-state`,()=>{let e=t.session?.id;e&&e!==R.session&&!t.session?.rights&&(R={session:e},A.storeProgram(e,H()),G())}),t}function qe(e){e.key!==`Enter`||!e.ctrlKey&&!e.metaKey||e.defaultPrevented||e.composedPath().some(e=>e instanceof HTMLInputElement||e instanceof HTMLDialogElement)||P.run()}function Je(){removeEventListener(`pagehide`,K),clearTimeout(z),A.forget(N.map(({name:e})=>e)),M.forget(),location.reload()}async function Ye(){X=ze(),addEventListener(`hashchange`,Re);let e=A.tab,t=()=>Le(X)||!X&&e?.share!==void 0;[N]=await Promise.all([Ue(t),customElements.whenDefined(`live-code`)]),k.textContent=``;let r=!M.token&&!$();F=new ie(j,n(),r?void 0:M.source),await F.forgetUnusedToken().catch(()=>{}),I=new we(F,e=>Q().textContent=e),Ge(),P=Ke(e?.runtime??`python`),D(`place`).replaceChildren(P);let i=X;X=void 0,await Z(i,()=>Be(e)),addEventListener(`pagehide`,K),addEventListener(`keydown`,qe);let a=D(`share`);a.disabled=!1,a.addEventListener(`click`,()=>void Ve());let o=new Map(N.map(({name:e,title:t})=>[e,t])),s=new ye(F,A,o,({id:e})=>J(e,{watch:!1})),c=D(`sessions`);c.disabled=!1,c.addEventListener(`click`,()=>void s.show());let l=D(`sign-out`);l.hidden=!M.token,l.addEventListener(`click`,()=>D(`sign-out-dialog`).showModal()),D(`sign-out-now`).addEventListener(`click`,Je);for(let e of document.querySelectorAll(`.copy`)){let t=e.parentElement?.querySelector(`input`);e.addEventListener(`click`,()=>void He(t))}}Ye();