// docs/lectures.md claims that each row of the lectures has a function and a test: here the claims are
// looked up.
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import * as tg from 'tapegrad';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

interface Row {
  title: string;
  functions: string[];
  file: string;
  words: string;
}

const rows: Row[] = read('docs/lectures.md')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (row|-)/.test(line))
  .map((line) => {
    const cells = line.replaceAll('\\|', '∣').split('|').slice(1, -1);
    const [title, functions, test] = cells.map((c) => c.trim()) as [string, string, string];
    const [, file, words] = /^`(.+?)`: (.+)$/.exec(test) ?? [];
    return {
      title,
      functions: [...functions.matchAll(/`(.+?)`/g)].map((m) => m[1]!),
      file: file ?? '',
      words: (words ?? '').replaceAll('∣', '|'),
    };
  });

/** "optim.Adam" in what users import. */
function lookUp(path: string): unknown {
  let at: unknown = tg;
  for (const part of path.split('.')) at = (at as Record<string, unknown> | undefined)?.[part];
  return at;
}

describe('docs/lectures.md', () => {
  it('has a row for everything in the sections of the catalogue', () => {
    expect(rows.length).to.be.at.least(65);
  });

  for (const { title, functions, file, words } of rows)
    it(title, () => {
      expect(functions, 'functions').to.not.be.empty;
      for (const f of functions) expect(lookUp(f), f).to.be.a('function');
      expect(words, 'a test: `file`: words of its title').to.not.equal('');
      expect(read(`test/${file}`).replaceAll("\\'", "'"), `test/${file}`).to.include(words);
    });
});
