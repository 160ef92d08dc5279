// What can go wrong with a CUDA device: no library, no driver, no device, one that is full or fails, tensors on two
// devices. Each a clear error, and the process goes on.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tg from 'tapegrad';
import { native } from '#lib/native.js';
import { child as run } from './cuda/child.js';
import { emulated, needsDevice } from './cuda/device.js';

const ADDON = fileURLToPath(new URL('../../build/Release/tapegrad.node', import.meta.url));

interface Failure {
  name: string;
  code?: string;
  message: string;
}
interface Trouble {
  available: boolean;
  diagnosis: tg.CudaDiagnosis;
  failures: (Failure | null)[];
  [key: string]: unknown;
}

const child = (mode: string, env: Record<string, string>): Trouble => run(mode, env) as Trouble;

/** Everything that needs the device says why there is none, and the CPU works. */
function expectMissing(env: Record<string, string>, why: string): void {
  const { available, diagnosis, limit, failures, synchronized, cpu } = child('missing', env);
  expect([available, diagnosis.available, limit]).to.deep.equal([false, false, 0]);
  expect(diagnosis.reason).to.include(why);
  for (const failure of failures) {
    expect(failure?.code).to.equal('TG_DEVICE');
    expect(failure!.message).to.equal(diagnosis.reason);
  }
  expect(synchronized).to.equal(null); // nothing was asked of it
  expect(cpu).to.deep.equal([2, 2]);
}

describe('CUDA errors', function () {
  this.timeout(600_000);

  describe('without a library', () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'tapegrad-cuda-'));
    });
    after(() => {
      rmSync(folder, { recursive: true });
    });
    const missing = (path: string, why: string): string => {
      expectMissing({ TAPEGRAD_CUDA_LIBRARY: path }, why);
      const { paths, devices } = child('missing', { TAPEGRAD_CUDA_LIBRARY: path }).diagnosis;
      expect(paths.map((p) => p.path)).to.deep.equal([path]);
      expect(paths[0]!.reason).to.include(why);
      expect(devices).to.deep.equal([]);
      return paths[0]!.reason;
    };

    it('says where it looked', () => {
      missing(join(folder, 'none.so'), 'there is no such file');
    });
    it('refuses a file that is no library', () => {
      const path = join(folder, 'text.so');
      writeFileSync(
        path,
        'this is text and long enough to have a header of sixty-four bytes, all told',
      );
      missing(path, 'invalid ELF header');
    });
    it('refuses a library of something else', () => {
      missing(ADDON, 'it does not export tapegrad_device_library');
    });
    it('refuses one of another version, or of other sources', function () {
      const path = (name: string, numbers: string): string => {
        const file = join(folder, name);
        const code = `struct { unsigned abi, backend_abi; unsigned long long fingerprint; } table = {${numbers}};
          void* tapegrad_device_library(void) { return &table; }`;
        const { status } = spawnSync('cc', ['-shared', '-fPIC', '-x', 'c', '-', '-o', file], {
          input: code,
        });
        if (status !== 0) this.skip(); // no compiler
        return file;
      };
      const reason = missing(
        path('old.so', '999, 1'),
        'it is of another version of tapegrad (interfaces 999 and 1',
      );
      const [, ...ours] = /instead of (\d+) and (\d+)/.exec(reason)!;
      missing(path('other.so', `${ours.join()}, 3`), 'it was built from other sources');
    });
  });

  describe('with the emulated device', () => {
    before(function () {
      needsDevice(this);
      if (!emulated) this.skip();
    });

    it('says that the driver is too old', () => {
      expectMissing({ TAPEGRAD_EMULATION_DRIVER: '0' }, 'driver');
    });
    it('says that there is no device', () => {
      expectMissing({ TAPEGRAD_EMULATION_DEVICES: '0' }, 'device');
    });

    it('that fails: every use says so, disposing and the CPU work', () => {
      for (const at of ['1', '7']) {
        const { first, asked, later, available, disposed, early, cpu } = child('fails', {
          TAPEGRAD_EMULATION_FAIL_LAUNCH: at,
        }) as Trouble & { first: Failure; asked: Failure; later: (Failure | null)[] };
        expect(first.code).to.equal('TG_DEVICE');
        for (const failure of [asked, ...later]) {
          expect(failure?.code).to.equal('TG_DEVICE');
          expect(failure!.message).to.include('the device cannot be used again');
        }
        expect(available).to.equal(false);
        expect(disposed).to.deep.equal([true, -1]);
        expect(early).to.equal(1);
        expect(cpu).to.deep.equal([2, 2]);
      }
    });

    it('that fails with steps in flight: the run says so, and nothing stays', () => {
      let most = 0;
      for (const at of [20, 41, 90]) {
        const { first, again, steps, left, cpu } = child('flight', {
          TAPEGRAD_EMULATION_FAIL_LAUNCH: String(at),
          TAPEGRAD_EMULATION_COPY_DELAY: '100',
        }) as Trouble & { first: Failure; again: Failure[]; steps: [number, number] };
        for (const failure of [first, ...again]) expect(failure.code).to.equal('TG_DEVICE');
        expect(again[1]!.message).to.include('the device cannot be used again');
        expect(steps[1]).to.equal(steps[0]);
        expect(steps[0]).to.be.within(most, at);
        most = steps[0] + 1;
        expect(left).to.deep.equal([0, 0]);
        expect(cpu).to.deep.equal([2, 2]);
      }
    });

    it('that is full: garbage makes room, then TG_OUT_OF_MEMORY', () => {
      const { full, kept, huge, uploaded, after } = child('full', {
        TAPEGRAD_EMULATION_MEMORY: String(128 << 20),
      }) as Trouble & Record<'full' | 'huge' | 'uploaded', Failure> & { kept: number };
      for (const failure of [full, huge, uploaded])
        expect(failure.code).to.equal('TG_OUT_OF_MEMORY');
      expect(full.message).to.match(/^full: 4194304 more bytes are needed on cuda, \d+ are in use/);
      expect(huge.message).to.include('1099511627776 more bytes are needed on cuda');
      expect(kept).to.be.within(16, 32); // of 4 MiB each
      expect(after).to.deep.equal([1, 1]);
    });
  });

  describe('with a device', () => {
    before(function () {
      needsDevice(this);
    });
    const there = { device: 'cuda' } as const;

    it('refuses operands on two devices, each by the op that mixes them', () => {
      tg.tidy(() => {
        const [a, b] = [tg.ones([2, 2]), tg.ones([2, 2], there)];
        const MIXED = "inputs are on cpu and cuda: move one with to('cuda') or to('cpu')";
        expect(() => tg.matmul(a, b)).to.throw(TypeError, `matmul: ${MIXED}`);
        expect(() => a.add(b)).to.throw(TypeError, `add: ${MIXED}`);
        expect(() => tg.where(b.greater(0), a, 1)).to.throw(TypeError, `where: ${MIXED}`);
        expect(() => tg.concat([b, a, b])).to.throw(TypeError, `concat: ${MIXED}`);
        const index = tg.tensor([0], { dtype: 'int32' });
        expect(() => tg.indexSelect(b, index)).to.throw(TypeError, `indexSelect: ${MIXED}`);
        const w = tg.ones([2], { requiresGrad: true, ...there });
        w.grad = tg.ones([2]);
        expect(() => {
          new tg.optim.SGD([w]).step();
        }).to.throw(TypeError, 'a parameter is on cuda, but its gradient is on cpu');
        const v = tg.ones([2], { requiresGrad: true });
        v.grad = tg.ones([2], there);
        expect(() => tg.clipGradNorm([w, v], 1)).to.throw(TypeError, MIXED);
        expect(() => {
          w.square().sum().backward();
        }).to.throw(TypeError, `accumulate: ${MIXED}`);
        for (const t of [w.grad, v.grad]) t?.dispose();
      });
    });

    it('copies between devices in copyFrom', () => {
      tg.tidy(() => {
        const [a, b] = [tg.tensor([[1, 2]]), tg.zeros([1, 2], there)];
        b.copyFrom(a);
        expect(b.toArray()).to.deep.equal([[1, 2]]);
        a.copyFrom(b.mul(3).T.clone().T);
        expect(a.toArray()).to.deep.equal([[3, 6]]);
      });
    });

    it('refuses to share what is there, and what has no memory', () => {
      tg.tidy(() => {
        const x = tg.ones([2], there);
        expect(() => tg.share({ x })).to.throw(TypeError, "share a copy made with to('cpu')");
        const y = tg.ones([2]);
        const token = tg.share({ y });
        expect(() => tg.attach(token, { y: tg.ones([2], there) })).to.throw(TypeError, 'cuda');
        class Holder extends tg.nn.Module {
          y = y;
          forward = (t: tg.Tensor): tg.Tensor => t;
        }
        expect(() => new Holder().to('cuda')).to.throw(TypeError, 'shared with other threads');
      });
    });

    it('refuses disposed tensors and bad arguments', async () => {
      const x = tg.ones([2], there);
      x.dispose();
      expect(() => x.to('cpu')).to.throw(/disposed/);
      expect(await x.data().catch((e: unknown) => (e as { code: string }).code)).to.equal(
        'TG_DISPOSED',
      );
      const any = (value: unknown): never => value as never;
      expect(() => new tg.nn.Linear(1, 1).to(any('gpu'))).to.throw(TypeError, "'cpu' or 'cuda'");
      expect(() => {
        tg.setDefaultDevice(any(undefined));
      }).to.throw(TypeError, "'cpu' or 'cuda'");
      expect(() => {
        tg.cuda.memoryLimit = -1;
      }).to.throw(RangeError, 'cuda.memoryLimit');
      expect(() => tg.memory(any({ device: 'tpu' }))).to.throw(TypeError);
      for (const bad of [2, -1, NaN, 2 ** 40])
        expect(() => native.generate(0, {}, bad, null)).to.throw(TypeError);
    });

    it('ends with copies under way', () => {
      child('exit', {});
    });
    it('lets workers be terminated in the middle of ops and copies', () => {
      const { cpu, cuda } = child('terminate', {});
      expect([cpu, cuda]).to.deep.equal([
        [1, 1],
        [1, 1],
      ]);
    });
  });
});
