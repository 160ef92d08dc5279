// examples/train.ts as a user meets it: a child process, its output, its files, its exit code.
import { expect } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { io } from 'tapegrad';

const PROGRAM = fileURLToPath(new URL('../examples/train.js', import.meta.url));

/** A new folder for each test of the surrounding `describe`, where the program runs. */
let box = '';
function useBox(): void {
  beforeEach(() => {
    box = fs.mkdtempSync(join(tmpdir(), 'train-'));
  });
  afterEach(() => {
    fs.rmSync(box, { recursive: true });
  });
}

const train = (...args: string[]) =>
  spawnSync(process.execPath, [PROGRAM, ...args], { cwd: box, encoding: 'utf8', timeout: 590_000 });
const quick = ['--data', 'digits', '--epochs', '2'];

describe('npm run train', function () {
  this.timeout(600_000);
  useBox();

  it('trains, saves, reloads and draws', () => {
    const { status, stdout, stderr } = train(...quick, '--seed', '3', '--out', 'out');
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' });
    expect(fs.readdirSync(box)).to.deep.equal(['out']);
    expect(fs.readdirSync(join(box, 'out')).sort()).to.deep.equal([
      'curves.svg',
      'weights.safetensors',
    ]);

    // One line per epoch, and no control characters where there is no terminal.
    expect(stdout).to.match(/^1,797 small digits: 1438 to train, 359 to validate\n19210 weights\n/);
    expect(stdout).to.not.match(/[\u001b\r]/);
    const lines = stdout.split('\n').filter((line) => /^\d+\/2 /.test(line));
    expect(lines.length).to.equal(2);
    const table = lines.map((line) =>
      line.replaceAll('%', '').trim().split(/\s+/).slice(1).map(Number),
    );
    const [first, second] = table as [number[], number[]];
    expect(second[0], 'training loss').to.be.below(first[0]!);
    expect(second[3], 'validation accuracy').to.be.above(85).and.at.most(100);
    expect(second[4], 'examples per second').to.be.above(0);
    expect(stdout).to.include(
      `reloaded into a fresh model: accuracy ${second[3]!.toFixed(2)} %, the same`,
    );

    const { tensors, metadata } = io.loadSafetensors(join(box, 'out', 'weights.safetensors'));
    expect({ ...metadata }).to.deep.equal({ data: 'digits', epochs: '2', seed: '3' });
    const shapes = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, t.shape]));
    expect(shapes).to.deep.equal({
      'hidden.weight': [256, 64],
      'hidden.bias': [256],
      'output.weight': [10, 256],
      'output.bias': [10],
    });
    for (const t of Object.values(tensors)) t.dispose();

    const svg = fs.readFileSync(join(box, 'out', 'curves.svg'), 'utf8');
    expect(svg).to.match(/^<svg /);
    for (const text of [
      '1,797 small digits, seed 3',
      'mean cross-entropy',
      'accuracy',
      'epoch',
      'training',
      'validation',
    ]) {
      expect(svg).to.include(`>${text}<`);
    }
    expect(
      svg.match(/aria-roledescription="line mark"/g)?.length,
      'lines: two in each panel',
    ).to.equal(4);
    expect(svg).to.not.include('NaN');
  });

  it('gives the same weights for the same seed, others for another', () => {
    const weights = (out: string, seed: string) => {
      expect(train(...quick, '--seed', seed, '--out', out).status).to.equal(0);
      const { tensors } = io.loadSafetensors(join(box, out, 'weights.safetensors'));
      const bytes = Buffer.concat(
        Object.values(tensors).map((t) => Buffer.from(t.dataSync().buffer)),
      );
      for (const t of Object.values(tensors)) t.dispose();
      return bytes.toString('base64');
    };
    const first = weights('a', '1');
    expect(weights('b', '1') === first).to.equal(true);
    expect(weights('c', '2') === first).to.equal(false);
  });

  it('goes on from saved weights', () => {
    const first = train(...quick, '--out', 'a');
    const { status, stdout } = train(
      ...quick,
      '--out',
      'b',
      '--load',
      join('a', 'weights.safetensors'),
    );
    expect(status).to.equal(0);
    const losses = (text: string) =>
      Array.from(text.matchAll(/^[12]\/2 +([\d.]+)/gm), (match) => Number(match[1]));
    expect(losses(first.stdout).length).to.equal(2);
    expect(losses(stdout)[0]).to.be.below(losses(first.stdout)[1]!);
  });

  it('gives the weights of an uninterrupted run after --resume, and of the program with --eager', () => {
    const weights = (out: string) => fs.readFileSync(join(box, out, 'weights.safetensors'));
    const more = ['--data', 'digits', '--seed', '4'];
    expect(train(...more, '--epochs', '4', '--out', 'whole').status).to.equal(0);
    expect(train(...more, '--epochs', '2', '--out', 'a', '--checkpoint', 'run').status).to.equal(0);
    const rest = train(...more, '--epochs', '4', '--out', 'b', '--resume', 'run');
    expect({ status: rest.status, stderr: rest.stderr }).to.deep.equal({ status: 0, stderr: '' });
    expect(rest.stdout.match(/^[1-4]\/4/gm)).to.deep.equal(['3/4', '4/4']);
    expect(weights('b').equals(weights('whole'))).to.equal(true);
    const again = train(...more, '--epochs', '4', '--out', 'c', '--resume', 'run', '--seed', '5');
    expect(again.status).to.equal(2);
    expect(again.stderr).to.match(/shuffled with seed 4, not 5/);
    const done = train(...more, '--epochs', '2', '--out', 'c', '--resume', 'run');
    expect(done.stderr).to.match(/^train: --resume run: all 2 epochs are done; raise --epochs\n$/);

    const eager = train(...more, '--epochs', '4', '--out', 'eager', '--eager');
    const accuracies = (text: string) =>
      Array.from(text.matchAll(/([\d.]+) % +\d+$/gm), (match) => Number(match[1]));
    expect(accuracies(eager.stdout).length).to.equal(4);
    expect(accuracies(eager.stdout)[3]).to.be.above(90);
  });

  it('--help explains every flag and writes nothing', () => {
    const { status, stdout, stderr } = train('--help');
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' });
    for (const flag of [
      'data',
      'epochs',
      'batch-size',
      'learning-rate',
      'seed',
      'out',
      'load',
      'checkpoint',
      'resume',
      'eager',
      'help',
    ]) {
      expect(stdout).to.include(`--${flag}`);
    }
    expect(fs.readdirSync(box)).to.deep.equal([]);
  });

  it('ends with 130 on Ctrl-C, and leaves no file', async () => {
    const child = spawn(
      process.execPath,
      [PROGRAM, '--data', 'digits', '--epochs', '1000', '--out', 'out'],
      {
        cwd: box,
      },
    );
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      // Twice, as a terminal and npm may both pass it on.
      if (/^2\/1000/m.test(stdout)) child.kill('SIGINT') && child.kill('SIGINT');
    });
    const end = await new Promise((resolve) =>
      child.on('exit', (code, signal) => resolve({ code, signal })),
    );
    expect(end).to.deep.equal({ code: 130, signal: null });
    expect(fs.readdirSync(join(box, 'out'))).to.deep.equal([]);
    expect(stdout).to.match(/\ninterrupted: nothing was saved\n/);
  });

  it('saves a checkpoint on Ctrl-C if it was told to', async () => {
    const flags = ['--data', 'digits', '--epochs', '1000', '--checkpoint', 'run'];
    const child = spawn(process.execPath, [PROGRAM, ...flags], { cwd: box });
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (/^2\/1000/m.test(stdout)) child.kill('SIGINT');
    });
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).to.equal(130);
    expect(stdout).to.match(/\ninterrupted: --resume run goes on from here\n/);
    const epochs = [...stdout.matchAll(/^(\d+)\/1000/gm)].map((match) => Number(match[1]));
    const next = epochs.at(-1)! + 1;
    const rest = train('--data', 'digits', '--epochs', `${next}`, '--resume', 'run', '--out', 'b');
    expect(rest.stdout).to.match(new RegExp(`^${next}/${next} `, 'm'));
  });
});

describe('npm run train: what the user got wrong', function () {
  this.timeout(600_000);
  useBox();

  const bad: [string[], RegExp][] = [
    [['--epoch', '3'], /Unknown option '--epoch'/],
    [['-e', '3'], /Unknown option '-e'/],
    [['3'], /Unexpected argument '3'/],
    [['--epochs'], /--epochs <value>' argument missing/],
    [['--epochs', ''], /--epochs must be a whole number from 1 to 1000, got ""/],
    [['--epochs', 'NaN'], /--epochs must be .* got "NaN"/],
    [['--epochs', '0'], /--epochs must be/],
    [['--epochs', '-1'], /--epochs/],
    [['--epochs=-1'], /--epochs must be .* got "-1"/],
    [['--epochs', '1.5'], /--epochs must be/],
    [['--epochs', '1e9'], /--epochs must be/],
    [['--epochs', '99999999999999999999'], /--epochs must be/],
    [['--epochs', '0x10'], /--epochs must be/],
    [['--batch-size', '0'], /--batch-size must be a whole number from 1 to 10000/],
    [['--batch-size', 'Infinity'], /--batch-size must be/],
    [['--batch-size', '10001'], /--batch-size must be/],
    [['--learning-rate', '0'], /--learning-rate must be a number above 0 and at most 1, got "0"/],
    [['--learning-rate=-0.1'], /--learning-rate must be/],
    [['--learning-rate', 'NaN'], /--learning-rate must be/],
    [['--learning-rate', 'Infinity'], /--learning-rate must be/],
    [['--learning-rate', '1e308'], /--learning-rate must be/],
    [['--learning-rate', '1e-999'], /--learning-rate must be/],
    [['--learning-rate', 'fast'], /--learning-rate must be/],
    [['--seed', '-1'], /--seed/],
    [['--seed', '4294967296'], /--seed must be a whole number from 0 to 4294967295/],
    [['--data', 'cifar'], /--data must be mnist or digits, got "cifar"/],
    [['--data', '../../etc/passwd'], /--data must be/],
    [['--help=yes'], /--help/],
    [['--out', ''], /--out must be a path/],
    [[...quick, '--out', 'file'], /--out file: cannot write there: .*file is not a folder/],
    [[...quick, '--out', 'file/deep'], /--out file\/deep: cannot write there: ENOTDIR/],
    [[...quick, '--out', '/proc/nowhere'], /--out \/proc\/nowhere: cannot write there: ENOENT/],
    [[...quick, '--out', 'taken'], /weights\.safetensors exists and is not a file/],
    [[...quick, '--load', 'missing'], /missing: cannot open: ENOENT/],
    [[...quick, '--load', 'taken'], /taken: not a regular file/],
    [[...quick, '--load', 'file'], /file: the header length of \d+ bytes is above the limit/],
    [[...quick, '--load', 'other'], /other: .*hidden\.weight/],
    [[...quick, '--load', 'wide'], /wide: .*hidden\.weight.*\[256, 784\]/],
    [[...quick, '--resume', 'missing'], /missing: cannot open: ENOENT/],
    [[...quick, '--resume', 'file'], /file: the header length/],
    [[...quick, '--resume', 'wide'], /wide: is no tapegrad\.checkpoint/],
    [[...quick, '--resume', ''], /--resume must be a path/],
    [[...quick, '--resume', 'a', '--load', 'b'], /--load and --resume exclude each other/],
    [[...quick, '--checkpoint', 'taken'], /--checkpoint taken: exists and is not a file/],
    [[...quick, '--checkpoint', 'no/where'], /--checkpoint no\/where: cannot write there: ENOENT/],
    [[...quick, '--eager=1'], /--eager/],
  ];
  for (const [args, message] of bad) {
    it(`says so in one line: ${args.join(' ').replace(quick.join(' '), '')}`, () => {
      fs.writeFileSync(join(box, 'file'), 'precious, and not safetensors');
      fs.mkdirSync(join(box, 'taken', 'weights.safetensors'), { recursive: true });
      tg.tidy(() => {
        io.saveSafetensors(join(box, 'other'), { x: tg.zeros([2]) });
        io.saveSafetensors(join(box, 'wide'), {
          'hidden.weight': tg.zeros([256, 784]),
          'hidden.bias': tg.zeros([256]),
          'output.weight': tg.zeros([10, 256]),
          'output.bias': tg.zeros([10]),
        });
      });
      const before = tree(box);
      const { status, stdout, stderr } = train(...args);
      expect(status, stdout + stderr).to.equal(2);
      expect(stderr).to.match(/^train: [^\n]+\n$/);
      expect(stderr).to.match(message);
      expect(stdout).to.equal('');
      expect(tree(box)).to.deep.equal(before);
    });
  }

  /** Every path below a folder, with the content of files. */
  function tree(folder: string): string[] {
    return (fs.readdirSync(folder, { recursive: true }) as string[])
      .sort()
      .map((name) =>
        fs.statSync(join(folder, name)).isFile()
          ? name + fs.readFileSync(join(folder, name), 'base64')
          : name,
      );
  }
});
