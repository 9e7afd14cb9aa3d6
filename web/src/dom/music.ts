/**
 * Plays the notes of `play` messages with the browser's Web Audio synthesis. No file is loaded.
 */

import type { Message } from "../client/index.js";

/** Semitones above C. */
const SEMITONES: Record<string, number> = { c: 0, d: 2, e: 4, f: 5, g: 7, a: 9, b: 11 };
const WAVES: OscillatorType[] = ["triangle", "sine", "square", "sawtooth"];

/** The longest duration of a note, in seconds. */
const MAX_DURATION = 10;
/** How far ahead a note may be scheduled, in seconds. */
const MAX_AHEAD = 600;
/** The number of tones that may be scheduled or sounding. Further tones are dropped. */
const MAX_TONES = 1000;
/** The times in which a tone rises and fades, in seconds, so that it does not click. */
const ATTACK = 0.01;
const RELEASE = 0.08;

/**
 * The frequency of a note in hertz. The note is a name such as `C4`, `F#3` or `Bb5`, or a MIDI
 * note number; A4, 440 Hz, is 69. Returns undefined for an unknown note, and for one that is too
 * low or too high to hear.
 */
export function frequency(note: unknown): number | undefined {
  let number = NaN;
  if (typeof note === "number") number = note;
  else {
    const [, letter, sign, octave] = /^([a-g])([#♯b♭]?)(-?\d)$/i.exec(String(note)) ?? [];
    const shift = !sign ? 0 : sign === "#" || sign === "♯" ? 1 : -1;
    if (letter) {
      number = (SEMITONES[letter.toLowerCase()] as number) + shift + 12 * (Number(octave) + 1);
    }
  }
  const hertz = 440 * 2 ** ((number - 69) / 12);
  return hertz >= 20 && hertz <= 20_000 ? hertz : undefined;
}

/** A number of a message, clamped to the bounds; `fallback` if it is missing or not a number. */
function clamp(value: unknown, min: number, max: number, fallback: number): number {
  const number = Number(value ?? fallback);
  return Number.isFinite(number) ? Math.min(Math.max(number, min), max) : fallback;
}

export class Music {
  #context: AudioContext | undefined;
  /** The node that all tones pass through. */
  #mainGain: GainNode | undefined;
  /** The number of tones that are scheduled or sounding. */
  #toneCount = 0;
  /** When the piece began, on the context's clock. The `at` of a message counts from here. */
  #pieceBegin: number | undefined;

  constructor(
    /** Called when the first tone is scheduled, and when the last one has ended. */
    private readonly onChange: () => void,
  ) {}

  /** Whether tones are scheduled or sounding. */
  get isSounding(): boolean {
    return this.#toneCount > 0;
  }

  /** Plays a `play` message. */
  play({ note, duration, at, volume, wave }: Message): void {
    // Browsers allow no sound before the user has touched the page. Notes that were kept for later
    // would all sound at once, so they are dropped.
    if (!navigator.userActivation.hasBeenActive) return;
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") void this.#context.resume();
    const context = this.#context;
    const now = context.currentTime + 0.03;
    this.#pieceBegin ??= now;
    const begin =
      at === undefined ? now : Math.max(now, this.#pieceBegin + clamp(at, 0, MAX_AHEAD, 0));
    const end = begin + clamp(duration, 2 * ATTACK, MAX_DURATION, 0.5);
    const loudness = 0.4 * clamp(volume, 0, 1, 0.5);
    const type = WAVES.find((name) => name === wave) ?? "triangle";
    for (const single of Array.isArray(note) ? note : [note]) {
      const hertz = frequency(single);
      if (hertz === undefined || this.#toneCount >= MAX_TONES) continue;
      const tone = new OscillatorNode(context, { frequency: hertz, type });
      const envelope = new GainNode(context, { gain: 0 });
      envelope.gain.setValueAtTime(0, begin);
      envelope.gain.linearRampToValueAtTime(loudness, begin + ATTACK);
      envelope.gain.setValueAtTime(loudness, Math.max(begin + ATTACK, end - RELEASE));
      envelope.gain.linearRampToValueAtTime(0, end);
      tone.connect(envelope).connect(this.#output(context));
      tone.onended = () => {
        envelope.disconnect();
        // Tones that were silenced are counted no more.
        if (this.#context === context && --this.#toneCount === 0) this.onChange();
      };
      if (++this.#toneCount === 1) this.onChange();
      tone.start(begin);
      tone.stop(end);
    }
  }

  /** Silences all tones. The next note begins a new piece. */
  stop(): void {
    this.#mainGain?.disconnect();
    this.#mainGain = this.#pieceBegin = undefined;
    void this.#context?.close();
    this.#context = undefined;
    if (this.#toneCount === 0) return;
    this.#toneCount = 0;
    this.onChange();
  }

  #output(context: AudioContext): AudioNode {
    if (this.#mainGain) return this.#mainGain;
    this.#mainGain = new GainNode(context);
    // The compressor keeps the sum of many tones below the device's maximum.
    const compressor = new DynamicsCompressorNode(context);
    this.#mainGain.connect(compressor).connect(context.destination);
    return this.#mainGain;
  }
}
