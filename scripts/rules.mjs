// Translates a derivative rule of the schema, a C++ expression such as "g * (1 - y * y)", into
// TypeScript that applies differentiable ops: one rule serves the kernel and the tape.

const INFIX = {
  '<': ['less', 1],
  '>': ['greater', 1],
  '<=': ['lessEqual', 1],
  '>=': ['greaterEqual', 1],
  '==': ['equal', 1],
  '!=': ['notEqual', 1],
  '+': ['add', 2],
  '-': ['sub', 2],
  '*': ['mul', 3],
  '/': ['div', 3],
};

function tokens(text) {
  const found = text.match(/\d+\.?\d*(?:e[+-]?\d+)?|[A-Za-z_]\w*|<=|>=|==|!=|[-+*/<>(),]/g) ?? [];
  if (found.join('') !== text.replaceAll(/\s/g, ''))
    throw new Error(`cannot read the rule: ${text}`);
  return found;
}

/** Precedence climbing; a node is {op, args} | {leaf} | {number}. */
function parse(text) {
  const list = tokens(text);
  let at = 0;
  const take = (expected) => {
    const token = list[at++];
    if (expected && token !== expected)
      throw new Error(`expected ${expected}, got ${token} in: ${text}`);
    return token;
  };
  function primary() {
    const token = take();
    if (token === '-') {
      const value = primary();
      return 'number' in value ? { number: -value.number } : { op: 'neg', args: [value] };
    }
    if (token === '(') {
      const inner = expression(1);
      take(')');
      return inner;
    }
    if (/^\d/.test(token)) return { number: Number(token) };
    if (list[at] !== '(') return { leaf: token };
    take('(');
    const args = [expression(1)];
    while (list[at] === ',') {
      take(',');
      args.push(expression(1));
    }
    take(')');
    return { op: token === 'select' ? 'where' : token, args };
  }
  function expression(minimum) {
    let left = primary();
    while (list[at] in INFIX && INFIX[list[at]][1] >= minimum) {
      const [op, precedence] = INFIX[take()];
      left = { op, args: [left, expression(precedence + 1)] };
    }
    return left;
  }
  const tree = expression(1);
  if (at !== list.length) throw new Error(`unread ${list.slice(at).join(' ')} in: ${text}`);
  return tree;
}

/** {code, opCount}: a function (g, x, y, z, p) with common subexpressions computed once. */
export function compileRule(text, ops, unary) {
  const known = new Set(ops.map((op) => op.name));
  const uses = new Map();
  const used = new Set();
  const key = (node) =>
    'number' in node
      ? String(node.number)
      : (node.leaf ?? `${node.op}(${node.args.map(key).join(',')})`);
  const count = (node) => {
    if (!node.op) return;
    const k = key(node);
    uses.set(k, (uses.get(k) ?? 0) + 1);
    if (uses.get(k) === 1) node.args.forEach(count);
  };
  const tree = parse(text);
  count(tree);

  const shared = new Map();
  const lines = [];
  const emit = (node) => {
    if ('number' in node) return String(node.number);
    if (node.leaf) {
      if (/^p\d$/.test(node.leaf)) {
        used.add('p');
        return `p[${node.leaf[1]}]!`;
      }
      if (!(unary ? ['g', 'x', 'y'] : ['g', 'x', 'y', 'z']).includes(node.leaf))
        throw new Error(`unknown name ${node.leaf} in: ${text}`);
      used.add(node.leaf);
      return node.leaf;
    }
    if (!known.has(node.op)) throw new Error(`${node.op} is no op, in: ${text}`);
    const k = key(node);
    if (shared.has(k)) return shared.get(k);
    const code = `compose(OPS.${node.op}, [${node.args.map(emit).join(', ')}])`;
    if (uses.get(k) === 1) return code;
    const name = `t${shared.size + 1}`;
    shared.set(k, name);
    lines.push(`const ${name} = ${code};`);
    return name;
  };
  const result = emit(tree);
  const params = ['g', 'x', 'y', 'z', 'p'];
  let last = params.findLastIndex((name) => used.has(name));
  const signature = params.slice(0, last + 1).map((name) => (used.has(name) ? name : `_${name}`));
  const body = lines.length ? `{ ${lines.join(' ')} return ${result}; }` : result;
  return { code: `(${signature.join(', ')}) => ${body}`, opCount: uses.size };
}
