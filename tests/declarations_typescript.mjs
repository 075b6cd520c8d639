// Exported classes, interfaces, objects and functions with their methods, as TypeScript's own compiler sees them.
//   node declarations_typescript.mjs FOLDER < absolute paths, one a line > {"listed": {"path Name": [methods]}, "inside": ["path Name"]}
// FOLDER is where `npm install --prefix FOLDER typescript@5` put the compiler. A name is dotted where namespaces stand
// before it. A method is what can be called on the object, a property of a function's type too, and dotted inside an
// object type; nothing private, inherited or made by a getter. The functions of a namespace are its methods.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const ts = createRequire(resolve(process.argv[2]) + "/")("typescript");
const files = readFileSync(0, "utf8").split("\n").filter(Boolean), known = new Set(files);
const program = ts.createProgram(files, {
  target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
  noEmit: true, skipLibCheck: true, types: [], strict: true,
});
const checker = program.getTypeChecker(), found = {};
const isPrivate = (d) => nameOf(d).startsWith("_") || ts.getJSDocTags(d).some((t) => /^(private|ignore)$/.test(t.tagName.text)) || (ts.getCombinedModifierFlags(d) & ts.ModifierFlags.Private) !== 0 || d.name?.kind === ts.SyntaxKind.PrivateIdentifier;
const nameOf = (d) => d.name && (ts.isIdentifier(d.name) || ts.isStringLiteral(d.name)) ? d.name.text : "";

function called(node, isMade = false) { // whether a value of the type, or of one in its union, is a function
  if (!node) return false;
  const type = checker.getTypeFromTypeNode(node), parts = type.isUnion() ? type.types : [type];
  return parts.some((t) => (t.getCallSignatures().length || (isMade && t.getConstructSignatures().length)) > 0);
}
const literals = (node) => !node ? [] : ts.isTypeLiteralNode(node) ? [node] : ts.isParenthesizedTypeNode(node) ? literals(node.type) :
  ts.isUnionTypeNode(node) || ts.isIntersectionTypeNode(node) ? node.types.flatMap(literals) : [];

function members(list, methods, prefix = "", depth = 0) {
  for (const m of list) {
    const name = nameOf(m);
    if (!name || isPrivate(m)) continue;
    if (ts.isMethodSignature(m) || ts.isMethodDeclaration(m)) methods.add(prefix + name);
    else if (ts.isPropertySignature(m) || ts.isPropertyDeclaration(m)) {
      if (called(m.type) || (m.initializer && (ts.isArrowFunction(m.initializer) || ts.isFunctionExpression(m.initializer)))) methods.add(prefix + name);
      if (depth < 3) for (const l of literals(m.type)) members(l.members, methods, `${prefix}${name}.`, depth + 1);
    }
  }
}
function ofType(node, methods, seen = new Set()) { // of a variable or an alias, through names of the same file
  for (const l of literals(node)) members(l.members, methods);
  const parts = node && (ts.isIntersectionTypeNode(node) || ts.isUnionTypeNode(node)) ? node.types : [node];
  for (const part of parts) {
    if (!part || !ts.isTypeReferenceNode(part) || !ts.isIdentifier(part.typeName)) continue;
    const symbol = checker.getSymbolAtLocation(part.typeName);
    for (const d of symbol?.declarations ?? []) {
      if (seen.has(d) || d.getSourceFile() !== node.getSourceFile()) continue;
      seen.add(d);
      if (ts.isInterfaceDeclaration(d)) members(d.members, methods);
      if (ts.isTypeAliasDeclaration(d)) ofType(d.type, methods, seen);
    }
  }
}
function add(d, name, methods) {
  const key = `${d.getSourceFile().fileName} ${name}`, item = found[key] ??= new Set();
  for (const method of methods) item.add(method);
}
function symbol(s, prefix, seen) {
  if (s.flags & ts.SymbolFlags.Alias) s = checker.getAliasedSymbol(s);
  for (const d of s.declarations ?? []) {
    if (seen.has(d) || !known.has(d.getSourceFile().fileName)) continue;
    seen.add(d);
    const own = nameOf(d), name = prefix + own, methods = new Set();
    if (!own) continue;
    if (ts.isClassDeclaration(d) || ts.isInterfaceDeclaration(d)) { members(d.members, methods); add(d, name, methods); }
    else if (ts.isTypeAliasDeclaration(d) || ts.isVariableDeclaration(d)) { ofType(d.type, methods); if (methods.size) add(d, name, methods); }
    else if (ts.isModuleDeclaration(d)) for (const inner of checker.getExportsOfModule(s)) symbol(inner, `${name}.`, seen);
    const isFunction = ts.isFunctionDeclaration(d) || (ts.isVariableDeclaration(d) && called(d.type) && !methods.size);
    if (isFunction) prefix ? add(d, prefix.slice(0, -1), [own]) : add(d, name, []);
    else if (ts.isVariableDeclaration(d) && called(d.type, true)) add(d, name, []);
  }
}
const seen = new Set();
for (const path of files) {
  const file = program.getSourceFile(path), module = file && checker.getSymbolAtLocation(file);
  if (module) for (const s of checker.getExportsOfModule(module)) symbol(s, "", seen);
  else for (const statement of file?.statements ?? []) { // a script: all it declares is global
    const names = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement];
    for (const d of names) if (d.name && ts.isIdentifier(d.name)) { const s = checker.getSymbolAtLocation(d.name); if (s) symbol(s, "", seen); }
  }
}
const inside = []; // names of what is declared and not exported: no fault to find them, none to pass them over
for (const path of files) for (const statement of program.getSourceFile(path)?.statements ?? []) {
  const names = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement];
  for (const d of names) if (nameOf(d)) inside.push(`${path} ${nameOf(d)}`);
}
const listed = Object.fromEntries(Object.entries(found).map(([key, methods]) => [key, [...methods]]));
console.log(JSON.stringify({ listed, inside }));
