// Test files run by mocha in a process of its own, under other environment variables.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');

export interface Report {
  stats: { passes: number; failures: number; pending: number };
  failures: { fullTitle: string; err: { message: string } }[];
  passes: { fullTitle: string }[];
}
export interface Outcome {
  code: number | null;
  signal: string | null;
  report: Report | null;
  stderr: string;
}

/** Runs test files with further arguments for mocha. */
export function runTests(env: NodeJS.ProcessEnv, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [mocha, '--no-config', '--no-package', '--timeout', '600000', '--reporter', 'json', ...args],
      { env: { ...process.env, ...env } },
    );
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      let report: Report | null = null;
      try {
        report = JSON.parse(stdout) as Report;
      } catch {
        // The test says what came instead.
      }
      resolve({ code, signal, report, stderr: stderr + (report ? '' : stdout.slice(0, 500)) });
    });
  });
}
