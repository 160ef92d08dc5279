// Saving safetensors when the path is wrong, the system fails or the process dies: the old file or
// the new one is there, never a torn one.
import { expect } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import nodeFs, * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import * as tg from 'tapegrad';
import { io } from 'tapegrad';
import { caught, child, useFolder } from './tools.js';

describe('safetensors: paths', () => {
  const folder = useFolder();
  it('refuses what is no file: a folder, a pipe, a device, nothing', () => {
    const pipe = join(folder(), 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).to.equal(0);
    for (const path of [
      folder(),
      pipe,
      '/dev/zero',
      join(folder(), 'missing'),
      join(folder(), 'missing', 'deep'),
    ]) {
      const { code, message } = caught(() => io.loadSafetensors(path));
      expect(code, path).to.equal('TG_FILE');
      expect(message.startsWith(`${path}: `), message).to.equal(true);
      expect(message.indexOf(path, 1), `${message}: the path twice`).to.equal(-1);
      expect(message).to.match(
        /missing/.test(path) ? /: cannot open: ENOENT/ : /: not a regular file$/,
      );
    }
    for (const path of [folder(), pipe, '/dev/full', '/dev/null', join(folder(), 'missing', 'x')]) {
      const { code, message } = caught(() => io.saveSafetensors(path, {}));
      expect(code, path).to.equal('TG_FILE');
      expect(message.startsWith(`${path}: cannot write: `), message).to.equal(true);
    }
    expect(fs.statSync('/dev/null').isCharacterDevice()).to.equal(true);
    expect(fs.statSync(pipe).isFIFO()).to.equal(true);
  });

  it('refuses arguments of the wrong kind with a TypeError or RangeError, and writes nothing', () => {
    const path = join(folder(), 'never');
    const x = tg.tensor(Float32Array.of(1));
    const gone = tg.tensor(Float32Array.of(1));
    gone.dispose();
    const hostile: [() => unknown, RegExp][] = [
      [() => io.saveSafetensors(path, null as never), /tensors must be an object/],
      [() => io.saveSafetensors(path, { x: 1 } as never), /tensors\["x"\] must be a Tensor/],
      [() => io.saveSafetensors(path, { x: new Proxy(x, {}) }), /must be a Tensor/],
      [() => io.saveSafetensors(path, { x: gone }), /disposed/],
      [() => io.saveSafetensors(path, { __metadata__: x }), /other than __metadata__/],
      [() => io.saveSafetensors(path, { '\ud800': x }), /well-formed Unicode/],
      [
        () => io.saveSafetensors(path, { x }, { metadata: { a: 1 } } as never),
        /metadata\["a"\] must be a string/,
      ],
      [
        () => io.saveSafetensors(path, { x }, { metadata: ['a'] } as never),
        /metadata must be an object/,
      ],
      [() => io.saveSafetensors(path, { x }, { metadata: { a: '\udc00' } }), /well-formed Unicode/],
      [() => io.saveSafetensors(path, { x }, null as never), /options must be an object/],
      [() => io.saveSafetensors('', { x }), /path must name a file/],
      [() => io.saveSafetensors('a\0b', { x }), /path must name a file/],
      [() => io.saveSafetensors(7 as never, { x }), /path must be a string/],
      [() => io.loadSafetensors(undefined as never), /path must be a string/],
      [() => io.decodeSafetensors('{}' as never), /bytes must be a Uint8Array/],
      [() => io.decodeSafetensors(new ArrayBuffer(8) as never), /bytes must be a Uint8Array/],
    ];
    for (const [call, message] of hostile) expect(caught(call).message).to.match(message);
    expect(fs.existsSync(path)).to.equal(false);
    x.dispose();
  });

  it('follows a symbolic link, keeps permissions, and manages the longest name', () => {
    const target = join(folder(), `${'n'.repeat(243)}.safetensors`);
    const link = join(folder(), 'link');
    fs.writeFileSync(target, 'old');
    fs.chmodSync(target, 0o640);
    fs.symlinkSync(target, link);
    io.saveSafetensors(link, {});
    expect(fs.lstatSync(link).isSymbolicLink()).to.equal(true);
    expect(fs.statSync(target).mode & 0o777).to.equal(0o640);
    expect(io.loadSafetensors(target).tensors).to.deep.equal(io.loadSafetensors(link).tensors);
  });
});

describe('safetensors: faults of the system', () => {
  const folder = useFolder();
  type Call = 'writeSync' | 'fsyncSync' | 'renameSync' | 'openSync';
  /** Runs `body` while one function of node:fs is another. */
  function patched(
    name: Call,
    patch: (real: (...args: never[]) => unknown) => unknown,
    body: () => void,
  ): void {
    const real = nodeFs[name];
    try {
      Object.assign(nodeFs, { [name]: patch(real.bind(nodeFs) as never) });
      syncBuiltinESMExports();
      body();
    } finally {
      Object.assign(nodeFs, { [name]: real });
      syncBuiltinESMExports();
    }
  }
  const fault = (code: string) =>
    Object.assign(new Error(`${code}: something broke, call '/secret'`), { code });

  const old = Buffer.from('the old content');
  let home = '';
  let path = '';
  let x: tg.Tensor;
  beforeEach(() => {
    home = fs.mkdtempSync(join(folder(), 'faults-'));
    path = join(home, 'w.safetensors');
    fs.writeFileSync(path, old);
    x = tg.tensor(Float32Array.from({ length: 200 }, (_, i) => i));
  });
  afterEach(() => {
    x.dispose();
  });
  const unharmed = () => {
    expect(fs.readFileSync(path)).to.deep.equal(old);
    expect(fs.readdirSync(home)).to.deep.equal(['w.safetensors']);
  };

  for (const code of ['ENOSPC', 'EIO']) {
    it(`leave the old file when a write fails with ${code}, after any number of bytes`, () => {
      const total = io.encodeSafetensors({ x }).length;
      for (let i = 0; i < 200; i++) {
        const limit = Math.floor((i * total) / 200);
        let written = 0;
        const failing =
          (real: (...args: never[]) => unknown) =>
          (file: never, data: never, at: number, n: number) => {
            if (written === limit) throw fault(code);
            const some = real(
              file,
              data,
              at as never,
              Math.min(n, limit - written) as never,
            ) as number;
            written += some;
            return some;
          };
        patched('writeSync', failing, () => {
          const error = caught(() => io.saveSafetensors(path, { x }));
          expect(error.code).to.equal('TG_FILE');
          expect(error.message).to.equal(`${path}: cannot write: ${code}: something broke, call`);
          expect((error.cause as { code: string }).code).to.equal(code);
        });
        expect(written, 'bytes before the fault').to.equal(limit);
        unharmed();
      }
    });
  }

  for (const name of ['fsyncSync', 'renameSync'] as const) {
    it(`leave the old file when ${name} fails`, () => {
      let calls = 0;
      const failing = () => () => {
        calls++;
        throw fault('EIO');
      };
      patched(name, failing, () => {
        expect(caught(() => io.saveSafetensors(path, { x })).code).to.equal('TG_FILE');
      });
      expect(calls).to.equal(1);
      unharmed();
    });
  }

  it('leave the old file when the system writes nothing and says nothing', () => {
    patched(
      'writeSync',
      () => () => 0,
      () => {
        expect(caught(() => io.saveSafetensors(path, { x })).message).to.match(/wrote nothing/);
      },
    );
    unharmed();
  });

  it('of writing less than asked are made good', () => {
    let calls = 0;
    const short =
      (real: (...args: never[]) => unknown) => (file: never, data: never, at: never, n: number) => {
        calls++;
        return real(file, data, at, Math.min(n, 1 + (calls % 7)) as never);
      };
    patched('writeSync', short, () => {
      io.saveSafetensors(path, { x });
    });
    expect(calls).to.be.above(100);
    expect(new Uint8Array(fs.readFileSync(path))).to.deep.equal(io.encodeSafetensors({ x }));
  });

  it('happen in this order: write, fsync, rename, fsync of the folder', () => {
    const order: string[] = [];
    const spy =
      (name: Call) =>
      (real: (...args: never[]) => unknown) =>
      (...args: never[]) => {
        const isFolder = name === 'fsyncSync' && fs.fstatSync(args[0]!).isDirectory();
        order.push(isFolder ? 'folder' : name);
        return real(...args);
      };
    patched('writeSync', spy('writeSync'), () => {
      patched('fsyncSync', spy('fsyncSync'), () => {
        patched('renameSync', spy('renameSync'), () => {
          io.saveSafetensors(path, { x });
        });
      });
    });
    expect(order.filter((name, i) => name !== order[i - 1])).to.deep.equal([
      'writeSync',
      'fsyncSync',
      'renameSync',
      'folder',
    ]);
  });
});

describe('safetensors: failing writes', () => {
  const folder = useFolder();
  const save = (path: string, n: number) => `
    const tg = await import('tapegrad');
    process.on('SIGXFSZ', () => {});
    const x = tg.tensor(new Float32Array(${n}).fill(2));
    try { tg.io.saveSafetensors(${JSON.stringify(path)}, { x }); console.log('saved'); }
    catch (error) { console.log(error.code, error.message); }`;
  it('leave the old file and no other when the file may not grow (EFBIG), wherever it stops', function () {
    this.timeout(600_000);
    const box = fs.mkdtempSync(join(folder(), 'limit-'));
    const path = join(box, 'w.safetensors');
    const old = tg.tidy(() => io.encodeSafetensors({ x: tg.tensor(Float32Array.of(1)) }));
    fs.writeFileSync(path, old);
    for (const limit of [0, 1, 7, 8, 50, 100, 4096, 399_999]) {
      const { stdout, stderr, status, signal } = child(
        ['prlimit', `--fsize=${limit}`],
        save(path, 100_000),
      );
      // The child's standard output is a pipe: the limit does not touch it.
      expect({ status, signal }, stderr).to.deep.equal({ status: 0, signal: null });
      expect(stdout).to.match(/^TG_FILE .*w\.safetensors: cannot write: EFBIG/);
      expect(new Uint8Array(fs.readFileSync(path))).to.deep.equal(old);
      expect(fs.readdirSync(box)).to.deep.equal(['w.safetensors']);
    }
    expect(child([], save(path, 100_000)).stdout).to.equal('saved\n');
    expect(fs.statSync(path).size).to.be.above(400_000);
    expect(fs.readdirSync(box)).to.deep.equal(['w.safetensors']);
  });

  it('never tear the file when the process is killed in mid-save', async function () {
    this.timeout(600_000);
    const box = fs.mkdtempSync(join(folder(), 'kill-'));
    const path = join(box, 'w.safetensors');
    const script = `
      const tg = await import('tapegrad');
      for (let i = 0; ; i++) {
        const x = tg.tensor(new Float32Array(300_000).fill(i % 100));
        tg.io.saveSafetensors(${JSON.stringify(path)}, { x });
        x.dispose();
        if (i === 0) console.log('saved');
      }`;
    for (let i = 0; i < 12; i++) {
      const saver = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: new URL('../../../', import.meta.url),
      });
      const exit = once(saver, 'exit');
      await Promise.race([once(saver.stdout, 'data'), exit]);
      await setTimeout(i * 2.3);
      saver.kill('SIGKILL');
      expect(await exit).to.deep.equal([null, 'SIGKILL']);
      const x = io.loadSafetensors(path).tensors['x']!;
      const data = x.dataSync();
      expect(data.length).to.equal(300_000);
      expect(data.every((value) => value === data[0])).to.equal(true);
      x.dispose();
    }
  });
});
