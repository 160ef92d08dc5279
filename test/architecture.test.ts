// The floors of the house, as docs/architecture.md draws them: nothing includes or imports what is
// above it; every source is built; every instruction set keeps to itself; what is generated is fresh.
import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

// From the ground up. A floor has rooms; a room is one or more files or folders, which may use each
// other and everything on the floors below, but not the other rooms of their floor.
const FLOORS = {
  native: [
    ['schema/*'],
    ['core/*'],
    ['cpu/table.h cpu/*_table.h', 'cuda/emulation/*'],
    ['cpu/kernels/*', 'cpu/*', 'cuda/*'],
    ['cpu/isa/*'],
    ['program/*'],
    ['binding/*'],
  ],
  lib: [
    ['schema.gen.ts', 'errors.ts', 'native.ts'],
    ['device.ts', 'plateau.ts', 'precision.ts'],
    ['tensor.ts tape.ts'],
    ['recording.ts', 'tree.ts'],
    ['apply.ts', 'schedules.ts'],
    ['compose.ts', 'reduction.ts', 'ops.gen.ts', 'create.ts'],
    [
      'vjps.gen.ts',
      'losses.gen.ts',
      'classes.ts',
      'taxonomy.ts',
      'methods.gen.ts',
      'ops.ts',
      'print.ts',
      'random.ts',
      'memory.ts',
    ],
    ['vjps.ts', 'losses-margin.ts', 'layers.ts'],
    ['backward.ts', 'losses.ts'],
    ['functional.ts', 'methods.ts'],
    ['nn/*', 'optim/*', 'io/*', 'shared.ts', 'curvature/*', 'data/*', 'metrics/*'],
    ['compile/*'],
    ['fit/*'],
    ['index.ts'],
  ],
};

// Programs around the house, not rooms in it.
const OUTSIDE = /^(test|bench)\//;

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const filesUnder = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => /\.(ts|cpp|h|cu|cuh)$/.test(file))
    .sort();

/** Whether `*` in a pattern, which stands for no '/', makes it the file's name. */
function matches(pattern: string, file: string): boolean {
  const escaped = pattern.replace(/[.+]/g, '\\$&').replaceAll('*', '[^/]*');
  return new RegExp(`^${escaped}$`).test(file);
}

interface Place {
  floor: number;
  room: string;
}

/** Where a file lives: the first room of the lowest floor that names it. */
function placeOf(floors: string[][], file: string): Place | undefined {
  for (const [floor, rooms] of floors.entries())
    for (const room of rooms)
      if (room.split(' ').some((pattern) => matches(pattern, file))) return { floor, room };
  return undefined;
}

/** What is wrong with `file` using `used`, or undefined. */
function complaint(floors: string[][], file: string, used: string): string | undefined {
  const from = placeOf(floors, file);
  const to = placeOf(floors, used);
  if (!from) return `${file} has no place on any floor`;
  if (!to) return `${file} uses ${used}, which has no place on any floor`;
  if (to.floor < from.floor || to.room === from.room) return undefined;
  return `${file} (floor ${from.floor}) must not use ${used} (floor ${to.floor})`;
}

const includesOf = (file: string) =>
  [...read(`native/${file}`).matchAll(/^\s*#\s*include\s*([<"])([^>"]+)[>"]/gm)].map((match) => ({
    system: match[1] === '<',
    name: match[2] ?? '',
  }));

/** All (user, used) pairs of a tree, as paths in it. */
function uses(tree: 'native' | 'lib'): [string, string][] {
  const files = filesUnder(tree).filter((file) => tree === 'lib' || !OUTSIDE.test(file));
  return files.flatMap((file) => {
    const names =
      tree === 'lib'
        ? ts
            .preProcessFile(read(`lib/${file}`))
            .importedFiles.map(({ fileName }) => fileName)
            .filter((name) => name.startsWith('.'))
            .map((name) => name.replace(/\.js$/, '.ts'))
        : includesOf(file)
            .filter(({ system }) => !system)
            .map(({ name }) => name);
    return names.map((name): [string, string] => [file, posix.join(posix.dirname(file), name)]);
  });
}

describe('architecture', () => {
  for (const tree of ['native', 'lib'] as const) {
    const floors: string[][] = FLOORS[tree];

    it(`${tree}/: nothing uses what is above it`, () => {
      const pairs = uses(tree);
      expect(pairs.length).to.be.greaterThan(50);
      const complaints = pairs.map(([file, used]) => complaint(floors, file, used));
      expect(complaints.filter(Boolean)).to.deep.equal([]);
    });

    it(`${tree}/: every file has a place, every place has a file`, () => {
      const files = filesUnder(tree).filter((file) => tree === 'lib' || !OUTSIDE.test(file));
      expect(files.filter((file) => !placeOf(floors, file))).to.deep.equal([]);
      const patterns = floors.flat().flatMap((room) => room.split(' '));
      const empty = patterns.filter((pattern) => !files.some((file) => matches(pattern, file)));
      expect(empty).to.deep.equal([]);
    });
  }

  it('the check itself tells up from down', () => {
    const { native, lib } = FLOORS;
    expect(complaint(native, 'core/op.h', 'schema/ops.h')).to.equal(undefined);
    expect(complaint(native, 'core/op.h', 'cpu/backend.h')).to.match(/must not use/);
    expect(complaint(native, 'cpu/backend.cpp', 'cpu/kernels/vec.h')).to.match(/must not use/);
    expect(complaint(native, 'cpu/kernels/gemm.h', 'cpu/gemm.h')).to.match(/must not use/);
    expect(complaint(native, 'cpu/kernels/gemm.h', 'cpu/gemm_table.h')).to.equal(undefined);
    expect(complaint(lib, 'nn/linear.ts', 'optim/sgd.ts')).to.match(/must not use/);
    expect(complaint(lib, 'nn/linear.ts', 'nn/module.ts')).to.equal(undefined);
    expect(complaint(lib, 'apply.ts', 'attic.ts')).to.match(/no place/);
  });

  it('only native/binding/ includes N-API', () => {
    const users = filesUnder('native').filter((file) =>
      includesOf(file).some(({ name }) => /napi|node_api|\bv8\b|\buv\.h/.test(name)),
    );
    expect(users).to.not.deep.equal([]);
    expect(users.filter((file) => !file.startsWith('binding/'))).to.deep.equal([]);
  });

  it('kernels include no library that could leak its functions into an instruction set', () => {
    const allowed = ['stddef.h', 'stdint.h', 'immintrin.h', 'arm_neon.h'];
    const foreign = filesUnder('native/cpu/kernels').flatMap((file) =>
      includesOf(`cpu/kernels/${file}`)
        .filter(({ system, name }) => system && !allowed.includes(name))
        .map(({ name }) => `${file}: <${name}>`),
    );
    expect(foreign).to.deep.equal([]);
  });

  it('native/sources.gypi lists every source, and no other', () => {
    const { variables } = JSON.parse(read('native/sources.gypi')) as {
      variables: Record<string, string[]>;
    };
    const listed = Object.entries(variables)
      .filter(([name]) => name.endsWith('_sources'))
      .flatMap(([, files]) => files);
    const present = ['core', 'cpu', 'cuda', 'program', 'binding']
      .flatMap((folder) => filesUnder(`native/${folder}`).map((file) => `native/${folder}/${file}`))
      .filter((file) => /\.(cpp|cu)$/.test(file) && !file.includes('/emulation/'));
    expect(listed.sort()).to.deep.equal(present.sort());
  });

  it('native/test/CMakeLists.txt lists every native test', () => {
    const lines = read('native/test/CMakeLists.txt').matchAll(/^ *native_test\w*\((\w+)/gm);
    const listed = [...new Set([...lines].map((match) => `${match[1]}_test.cpp`))];
    const present = filesUnder('native/test').filter((file) => file.endsWith('_test.cpp'));
    expect(listed.sort()).to.deep.equal(present);
  });

  it('the generated files are fresh (npm run gen)', () => {
    const check = spawnSync(process.execPath, ['scripts/gen-schema.mjs', '--check'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect({ status: check.status, stderr: check.stderr }).to.deep.equal({ status: 0, stderr: '' });
  });
});

describe('architecture of the object files', () => {
  const objects = join(ROOT, 'build/Release/obj.target');
  const all = existsSync(objects)
    ? readdirSync(objects, { recursive: true, encoding: 'utf8' })
    : [];
  const isaObjects = all.filter((file) => /^tg_\w+\/native\/cpu\/isa\/\w+\.o$/.test(file));
  const generic = all.filter((file) => /^tapegrad\/native\/.*\.o$/.test(file));
  const print = (program: string, args: string[]) => {
    const result = spawnSync(program, args, { cwd: objects, encoding: 'utf8', maxBuffer: 1 << 28 });
    return result.status === 0 ? result.stdout : undefined;
  };

  /** A test of binaries, or a skipped one that says why. */
  function binaryTest(title: string, program: string, files: string[], body: () => void): void {
    const reason =
      process.platform !== 'linux'
        ? 'reads ELF files'
        : files.length === 0
          ? 'build/Release has no object files (npm run build:native)'
          : spawnSync(program, ['--version']).status !== 0
            ? `${program} is missing`
            : undefined;
    if (reason === undefined) it(title, body);
    else it.skip(`${title}: ${reason}`);
  }

  binaryTest(
    'an instruction set exports one symbol, and none that is weak',
    'nm',
    isaObjects,
    () => {
      expect(isaObjects.length).to.equal(process.arch === 'x64' ? 4 : 1);
      for (const file of isaObjects) {
        const isa = posix.basename(file, '.o');
        const lines = (print('nm', ['--defined-only', '--extern-only', file]) ?? '')
          .trim()
          .split('\n');
        const symbols = lines.map((line) => line.split(/\s+/).slice(1).join(' '));
        expect(symbols, file).to.have.lengthOf(1);
        // R or D: constant data, with or without addresses to relocate. W, V, u would be weak.
        expect(symbols[0], file).to.match(new RegExp(`^[RD] tg_kernels_${isa}$`));
      }
    },
  );

  if (process.arch === 'x64')
    binaryTest('code for every processor uses no register of AVX', 'objdump', generic, () => {
      const offenders = generic.filter((file) =>
        /%[yz]mm\d|%k[1-7]\b/.test(print('objdump', ['-d', file]) ?? '%ymm0'),
      );
      expect(offenders).to.deep.equal([]);
      // The pattern does find such code where it belongs.
      const avx = print('objdump', ['-d', 'tg_avx512/native/cpu/isa/avx512.o']) ?? '';
      expect(avx).to.match(/%zmm\d/);
    });
});
