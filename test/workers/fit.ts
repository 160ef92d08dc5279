// A process to be killed: `save path` writes checkpoints without end; `fit path` trains, prints a line at each report,
// resumes if it can, and writes a checkpoint when it is asked to end.
import { createHash } from 'node:crypto';
import * as tg from 'tapegrad';
import { nn } from 'tapegrad';
import { outcome, setUp } from './fit-setup.js';

const [what, path] = process.argv.slice(2) as [string, string];

if (what === 'save') {
  const model = new nn.Sequential(new nn.Linear(400, 400));
  for (let k = 0; ; ++k) {
    tg.saveCheckpoint(path, { model });
    if (k === 0) process.stdout.write('saved\n');
  }
}

const stop = new AbortController();
process.on('SIGTERM', () => {
  stop.abort();
});
const made = setUp('schedule');
const run = tg.fit(made.model, {
  ...made.options,
  epochs: 200,
  checkpoint: { path, everyEpochs: 1_000_000 },
  resume: true,
  signal: stop.signal,
});
console.log('started');
try {
  for await (const { step } of run) console.log(`step ${step}`);
  const report = await run.finished;
  console.log(`finished ${createHash('sha256').update(outcome(made, report)).digest('hex')}`);
} catch (error) {
  if (!stop.signal.aborted) throw error;
  const saved = tg.io.loadSafetensors(path).metadata['text']!;
  const { step } = (JSON.parse(saved) as { extra: { progress: { step: number } } }).extra.progress;
  console.log(`aborted after ${made.optimizer.steps} steps, ${step} in the file`);
}
