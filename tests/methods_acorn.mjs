// Methods of JavaScript classes, listed without the project's extractor: what a script does to its objects is
// played through on its syntax tree, unknown values stay unknown (null). No code of the script ever runs.
//   node methods_acorn.mjs FOLDER < lines of {"id", "name", "code"} > lines of {"id", "methods", "loose"?, "error"?}
// FOLDER is where `npm install --prefix FOLDER acorn acorn-loose` put the parsers. A method is a function that code
// outside can reach from `name`: on it, its prototype or a new instance; `util.a` where it is in an object.
// Not listed: accessors, private names, what is inherited, classes, and the names initialize and constructor.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const load = createRequire(resolve(process.argv[2] ?? ".") + "/"), acorn = load("acorn"), loose = load("acorn-loose");
const MAX_CALLS = 4, MAX_RUNS = 2000, MAX_DOTS = 5, GLOBALS = ["globalThis", "global", "window", "self", "root"];
let runs = 0; // functions entered in this script
class Value { // an object, or a function where `callable`
  props = new Map(); link = null; proto = null;
  constructor(extra = {}) { Object.assign(this, extra); if (this.callable) this.proto ??= new Value(); }
  get(name) { return (this.callable && name === "prototype" ? this.proto : this.props.get(name) ?? this.link?.get(name)) ?? null; }
  set(name, value) {
    if (this.callable && name === "prototype") this.proto = value ?? new Value();
    else if (name === "__proto__") this.link = value;
    else if (name && (value || !this.props.has(name))) this.props.set(name, value);
  }
  copy(other) { for (const [name, value] of other?.props ?? []) this.set(name, value); return this; }
}
class Scope extends Value {
  constructor(outer, self) { super({ outer, self, calls: outer?.calls ?? 0 }); }
  holder(name) { let at = this; while (at.outer && !at.props.has(name)) at = at.outer; return at; }
}
function keyOf(n, s) { // of a member or a property; nothing where it is private or not known
  const key = n.key ?? n.property;
  if (!n.computed && key.type !== "Literal") return key.type === "PrivateIdentifier" ? "" : key.name;
  return String(evaluate(key, s)?.literal ?? key.value ?? "");
}
function call(f, self, args, calls) {
  if (!f?.node || calls >= MAX_CALLS || ++runs > MAX_RUNS) return null;
  const s = new Scope(f.scope, f.node.type === "ArrowFunctionExpression" ? f.scope.self : self);
  s.calls = calls + 1;
  f.node.params.forEach((p, i) => p.type === "Identifier" && s.props.set(p.name, args[i] ?? null));
  if (f.node.body.type !== "BlockStatement") return evaluate(f.node.body, s);
  execute(f.node.body, s);
  return s.returned ?? null;
}
function construct(f, args, calls) { // what is made need not be an instance: a function may return another object
  const made = new Value({ link: f.proto, isInstance: true });
  for (const [key, node] of f.fields ?? []) made.set(key, node && evaluate(node, new Scope(f.scope, made)));
  const returned = call(f.maker ?? (f.isClass ? f.proto.get("initialize") : f), made, args, calls);
  return returned && !returned.callable ? returned.copy(made) : made;
}
function makeClass(node, s) {
  const made = new Value({ callable: true, isClass: true, scope: s, fields: [] });
  for (const m of node.body.body) {
    if (m.kind === "constructor") made.maker = evaluate(m.value, s);
    else if (m.type === "PropertyDefinition" && !m.static) made.fields.push([keyOf(m, s), m.value]);
    else if (m.type === "PropertyDefinition" || m.kind === "method") (m.static ? made : made.proto).set(keyOf(m, s), evaluate(m.value, s));
  }
  return made;
}
function invoke(n, s) { // a call or a `new`; the platform's Class and Object.extendsObject, and what libraries have like them
  const args = n.arguments.map((a) => evaluate(a, s)), c = n.callee, isMember = c.type === "MemberExpression";
  const on = isMember ? evaluate(c.object, s) : s.holder("\0"), name = isMember ? keyOf(c, s) : "", of = c.object?.name ?? "";
  const f = isMember ? on?.get(name) : evaluate(c, s), all = (to, from) => from.reduce((made, a) => made.copy(a), to);
  if (n.type === "NewExpression") return f?.callable ? construct(f, args, s.calls) : new Value({ isInstance: true });
  if (f?.node || !isMember) return call(f, on, args, s.calls);
  if (on?.node && /^(call|apply)$/.test(name)) return call(on, args[0], name === "call" ? args.slice(1) : [], s.calls);
  if (on?.callable && name === "bind") return on;
  if (of === "Object" && name === "create") return new Value({ link: args[0] });
  if (of === "Object" && /^(freeze|seal|preventExtensions)$/.test(name)) return args[0];
  if (of === "Object" && name === "extendsObject") return all(new Value({ link: args[0] }), args.slice(1));
  if (/^(assign|extend)$/.test(name) && /^(Object|_|\$|jQuery|angular)$/.test(of)) return all(args[0] ?? new Value(), args.slice(1));
  const own = all(new Value(), args.filter((a) => !a?.callable)), isCreate = of === "Class" && name === "create";
  const makes = isCreate || (/^(extend|subclass)$/.test(name) && own.props.size);
  return makes ? new Value({ callable: true, isClass: true, proto: own }) : null;
}
function assign(target, value, s) {
  if (target.type === "Identifier") s.holder(target.name).set(target.name, value);
  if (target.type !== "MemberExpression") return value;
  const on = evaluate(target.object, s) ?? assign(target.object, new Value(), s); // others made it
  on.set(keyOf(target, s), value);
  return value;
}
const EVALUATE = {
  Identifier: (n, s) => s.holder(n.name).get(n.name) ?? (GLOBALS.includes(n.name) ? s.holder("\0") : null),
  Literal: (n) => (typeof n.value === "string" ? new Value({ literal: n.value }) : null),
  ThisExpression: (n, s) => s.self,
  FunctionExpression: (n, s) => new Value({ callable: true, node: n, scope: s }),
  ClassExpression: makeClass, CallExpression: invoke, NewExpression: invoke,
  ChainExpression: (n, s) => evaluate(n.expression, s),
  UnaryExpression: (n, s) => void evaluate(n.argument, s),
  MemberExpression: (n, s) => evaluate(n.object, s)?.get(keyOf(n, s)),
  LogicalExpression: (n, s) => (n.operator === "&&" ? null : evaluate(n.left, s)) ?? evaluate(n.right, s),
  ConditionalExpression: (n, s) => evaluate(n.consequent, s) ?? evaluate(n.alternate, s),
  SequenceExpression: (n, s) => n.expressions.map((x) => evaluate(x, s)).at(-1),
  AssignmentExpression: (n, s) => assign(n.left, evaluate(n.right, s), s),
  ObjectExpression: (n, s) => n.properties.reduce((made, p) => {
    if (p.type === "SpreadElement") made.copy(evaluate(p.argument, s));
    else if (p.kind === "init") made.set(keyOf(p, s), evaluate(p.value, s));
    return made;
  }, new Value()),
};
EVALUATE.ArrowFunctionExpression = EVALUATE.FunctionDeclaration = EVALUATE.FunctionExpression;
const evaluate = (n, s) => EVALUATE[n?.type]?.(n, s) ?? null;
function execute(n, s) { // both ways of an `if`, loops once
  for (const x of [n.body, n.consequent].flat()) if (x?.type === "FunctionDeclaration") s.props.set(x.id.name, evaluate(x, s));
  if (n.type === "ExpressionStatement") evaluate(n.expression, s);
  else if (n.type === "ClassDeclaration") s.props.set(n.id.name, makeClass(n, s));
  else if (n.type === "ReturnStatement") s.returned = evaluate(n.argument, s) ?? s.returned;
  else if (n.type === "VariableDeclarator" && n.id.type === "Identifier") {
    const value = evaluate(n.init, s); // `var X;` takes nothing from X
    if (value || !s.props.has(n.id.name)) s.props.set(n.id.name, value);
  } else if (n.type !== "FunctionDeclaration")
    for (const x of [n.init, n.block, n.handler?.body, n.finalizer, n.consequent, n.alternate, n.body, n.cases, n.declarations].flat())
      if (/Statement|Declarat|SwitchCase/.test(x?.type)) execute(x, s);
}
function* listed(props, prefix = "", above = []) {
  for (const [name, value] of props)
    if (!value || value.isClass || value.isInstance || /^(initialize|constructor|prototype)$|✖/.test(name)) continue;
    else if (value.callable) yield prefix + name;
    else if (!above.includes(value) && above.length < MAX_DOTS) yield* listed(value.props, `${prefix}${name}.`, [...above, value]);
}
function methods(value) {
  const made = value.isInstance ? [value.link] : value.callable ? [value.proto, construct(value, [], 0)] : [];
  return [value, ...made].flatMap((on) => [...listed(on?.props ?? [])]);
}
function list(name, tree) { // of what has that name, of `x.name`, or else the functions at the top, or else its only class
  const top = new Scope(null, null);
  top.self = top; runs = 0;
  execute(tree, top);
  const all = [...top.props].filter(([, value]) => value);
  const named = top.get(name) ?? all.map(([, value]) => value.get(name)).find((value) => value);
  const functions = all.filter(([, value]) => value.callable && !value.isClass).map(([key]) => key);
  const others = all.map(([, value]) => methods(value)).filter((found) => found.length);
  return named ? methods(named) : functions.length || others.length !== 1 ? functions : others[0];
}
for await (const line of createInterface({ input: process.stdin })) {
  const { id, name, code } = JSON.parse(line), answer = { id, methods: [] };
  const read = (parser) => parser.parse(code, { ecmaVersion: "latest", sourceType: "script", allowReturnOutsideFunction: true });
  try {
    let tree;
    try { tree = read(acorn); } catch { tree = read(loose); answer.loose = true; } // no valid JavaScript
    answer.methods = [...new Set(list(name, tree))].sort();
  } catch (error) { answer.error = String(error.message); }
  console.log(JSON.stringify(answer));
}
