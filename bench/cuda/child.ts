// A child process that measures, and the protocol with it: one line of JSON each way. It greets when it is ready;
// then it is sent jobs, and after each job the word for one more round. See ours.ts and peer.py.
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Work } from './cases.js';

export interface Greeting {
  library: string;
  device: string;
  /** Of tapegrad only. */
  driver?: number;
  runtime?: number;
  capability?: number;
  multiprocessors?: number;
  memory?: number;
}
export interface Job {
  work: Work;
  seed: number;
  /** How long a round takes at least. */
  least_ns: number;
}
export interface Ready {
  /** Calls in a round. */
  iterations: number;
  /** How the library was told to compute, where that is a choice. */
  note?: string;
}
/** Nanoseconds per call. */
export interface Round {
  ns: number;
}

type Waiting = { resolve: (line: string) => void; reject: (error: Error) => void };

export class Child {
  #process: ChildProcess;
  #lines: string[] = [];
  #end: Error | null = null;
  #waiting: Waiting | null = null;

  /** What it writes to stderr goes to ours. */
  constructor(command: string, args: readonly string[]) {
    this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = (why: string) => {
      this.#end ??= new Error(why);
      this.#waiting?.reject(this.#end);
      this.#waiting = null;
    };
    this.#process.once('error', ({ message }) => ended(message));
    this.#process.once('close', (code, signal) =>
      ended(`its process ended with ${signal ?? `exit code ${code}`}`),
    );
    this.#process.stdin!.on('error', () => undefined); // its end says more
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      if (!this.#waiting) this.#lines.push(line);
      this.#waiting?.resolve(line);
      this.#waiting = null;
    });
  }

  greeting = (ms: number): Promise<Greeting> => this.#next(ms);
  prepare = (job: Job, ms: number): Promise<Ready> => this.#ask(job, ms);
  round = (ms: number): Promise<Round> => this.#ask('round', ms);

  /** Ends it, whatever it does. */
  stop(): void {
    this.#process.kill('SIGKILL');
  }

  #ask<T>(request: unknown, ms: number): Promise<T> {
    this.#process.stdin!.write(`${JSON.stringify(request)}\n`);
    return this.#next(ms);
  }

  /** Its next line. @throws Error with what it complains of, or if it ends or says nothing for so long */
  async #next<T>(ms: number): Promise<T> {
    const line = this.#lines.shift() ?? (await this.#line(ms));
    const reply = JSON.parse(line) as T & { error?: string };
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply;
  }

  #line(ms: number): Promise<string> {
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = null;
        reject(new Error(`no answer for ${(ms / 1e3).toFixed(0)} s`));
      }, ms);
      const settled =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          then(value);
        };
      this.#waiting = { resolve: settled(resolve), reject: settled(reject) };
    });
  }
}
