// Writes what docs/compiled.md shows of a compiled step: its listings and its graph. node scripts/gen-compiled.mjs
// [--check]: with --check it writes nothing and fails if the listings in the page are not what the library prints.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tg from 'tapegrad';
import { root } from './tools.mjs';

const { losses, nn, optim } = tg;
const PAGE = join(root, 'docs/compiled.md');
const PICTURE = join(root, 'docs/compiled.svg');

// The step that the page shows as code.
const model = new nn.Sequential(new nn.Linear(4, 16), new nn.ReLU(), new nn.Linear(16, 3));
const optimizer = new optim.Adam(model.parameters(), { learningRate: 1e-3 });
const step = tg.compile((x, y) => {
  const loss = losses.crossEntropy(model.forward(x), y);
  optimizer.minimize(loss);
  return loss;
});
const program = step.program(tg.zeros([32, 4]), tg.zeros([32], { dtype: 'int32' }));

/** The page with the fenced block behind each mark replaced by that stage's listing. */
function refreshed(page) {
  for (const stage of ['recorded', 'planned']) {
    const block = new RegExp(`(<!-- listing: ${stage} -->\n\n\`\`\`text\n)[^]*?(\n\`\`\`)`);
    if (!block.test(page)) throw new Error(`docs/compiled.md has no listing of stage ${stage}`);
    page = page.replace(
      block,
      (_, before, after) => before + program.describe({ stage }).text + after,
    );
  }
  return page;
}

const page = readFileSync(PAGE, 'utf8');
const fresh = refreshed(page);
if (process.argv.includes('--check')) {
  if (fresh !== page) {
    console.error('docs/compiled.md is stale: npm run gen:compiled');
    process.exitCode = 1;
  }
} else {
  writeFileSync(PAGE, fresh);
  writeFileSync(PICTURE, await program.svg());
  console.log('docs/compiled.md, docs/compiled.svg');
}
