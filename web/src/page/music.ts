/** Plays the notes of `play` messages with the browser's own synthesis: nothing is loaded. */

import type { Message } from "../client/index.js";

const STEPS: Record<string, number> = { c: 0, d: 2, e: 4, f: 5, g: 7, a: 9, b: 11 };
const WAVES: OscillatorType[] = ["triangle", "sine", "square", "sawtooth"];

/** How long a note sounds at most, and how far ahead it may be ordered, in seconds. */
const DURATION_MAX = 10;
const AHEAD_MAX = 600;
/** How many tones wait or sound at most; what is more is not heard. */
const TONES_MAX = 1000;
/** How long a tone takes to rise and to fade, in seconds, so that it does not click. */
const RISE = 0.01;
const FADE = 0.08;

/** Hertz of a note: a name such as `C4`, `F#3` or `Bb5`, or a number as in MIDI; A4, 440 Hz, is 69. */
export function frequency(note: unknown): number | undefined {
  let number = NaN;
  if (typeof note === "number") number = note;
  else {
    const [, letter, sign, octave] = /^([a-g])([#♯b♭]?)(-?\d)$/i.exec(String(note)) ?? [];
    const shift = !sign ? 0 : sign === "#" || sign === "♯" ? 1 : -1;
    if (letter) number = (STEPS[letter.toLowerCase()] as number) + shift + 12 * (Number(octave) + 1);
  }
  const hertz = 440 * 2 ** ((number - 69) / 12);
  return hertz >= 20 && hertz <= 20_000 ? hertz : undefined;
}

/** A number of a message within bounds, or what stands for one that is missing. */
function within(value: unknown, least: number, most: number, otherwise: number): number {
  const number = Number(value ?? otherwise);
  return Number.isFinite(number) ? Math.min(Math.max(number, least), most) : otherwise;
}

export class Music {
  #context: AudioContext | undefined;
  /** Everything that sounds goes through it. */
  #out: GainNode | undefined;
  #tones = 0;
  /** When the piece began, on the context's clock. */
  #began: number | undefined;

  /** Takes a `play` message. */
  take({ note, duration, at, volume, wave }: Message): void {
    // Browsers let no page sound that nobody has touched; notes kept for later would all sound at once.
    if (!navigator.userActivation.hasBeenActive) return;
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") void this.#context.resume();
    const context = this.#context;
    const now = context.currentTime + 0.03;
    this.#began ??= now;
    const begin = at === undefined ? now : Math.max(now, this.#began + within(at, 0, AHEAD_MAX, 0));
    const end = begin + within(duration, 2 * RISE, DURATION_MAX, 0.5);
    for (const one of Array.isArray(note) ? note : [note]) {
      const hertz = frequency(one);
      if (hertz === undefined || this.#tones >= TONES_MAX) continue;
      const tone = new OscillatorNode(context, { frequency: hertz, type: WAVES.find((name) => name === wave) ?? "triangle" });
      const loudness = 0.4 * within(volume, 0, 1, 0.5);
      const envelope = new GainNode(context, { gain: 0 });
      envelope.gain.setValueAtTime(0, begin);
      envelope.gain.linearRampToValueAtTime(loudness, begin + RISE);
      envelope.gain.setValueAtTime(loudness, Math.max(begin + RISE, end - FADE));
      envelope.gain.linearRampToValueAtTime(0, end);
      tone.connect(envelope).connect(this.#output(context));
      this.#tones++;
      tone.onended = () => {
        this.#tones--;
        envelope.disconnect();
      };
      tone.start(begin);
      tone.stop(end);
    }
  }

  /** Silence, and the beginning of another piece. */
  stop(): void {
    this.#out?.disconnect();
    this.#out = this.#began = undefined;
    this.#tones = 0;
    void this.#context?.close();
    this.#context = undefined;
  }

  #output(context: AudioContext): AudioNode {
    if (this.#out) return this.#out;
    this.#out = new GainNode(context);
    // Many tones at once get no louder than the device can take.
    this.#out.connect(new DynamicsCompressorNode(context)).connect(context.destination);
    return this.#out;
  }
}
