// Removes what builds leave behind; `npm ci` and `npm run build` make it anew.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './tools.mjs';

for (const name of readdirSync(root))
  if (name === 'build' || name === 'dist' || name.startsWith('build-'))
    rmSync(join(root, name), { recursive: true });
