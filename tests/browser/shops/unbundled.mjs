/**
 * Prints the modules that a browser needs for one, each under an address of its own, with nothing
 * bundled: TypeScript, Vue and Svelte files are compiled, what is CommonJS is put into a function.
 *
 *     node unbundled.mjs main.jsx    {"entry": "/modules/0.js", "files": {"/modules/0.js": "…"}}
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join, resolve } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const ts = require("typescript");

const CONDITIONS = ["browser", "development", "module", "import", "default"];
/** Vue's build for browsers is one file; what is for servers or for production is left out. */
const INSTEAD = { vue: "vue/dist/vue.runtime.esm-browser.js" };
const ENDINGS = ["", ".js", ".mjs", ".ts", ".tsx", ".jsx", "/index.js"];

const addresses = new Map();
const files = {};

/** The first of a package's conditions that is ours. */
function chosen(target, rest = "") {
  if (typeof target === "string") return target.replace("*", rest);
  const name = Object.keys(target ?? {}).find((name) => CONDITIONS.includes(name) && chosen(target[name], rest));
  return name && chosen(target[name], rest);
}

/** What `exports` or `imports` of a package say of a name. */
function mapped(map, name) {
  if (map[name]) return chosen(map[name]);
  for (const [pattern, target] of Object.entries(map)) {
    const [before, after] = pattern.split("*");
    if (after === undefined || !name.startsWith(before) || !name.endsWith(after)) continue;
    return chosen(target, name.slice(before.length, name.length - after.length));
  }
}

function packageOf(dir) {
  while (!existsSync(join(dir, "package.json"))) dir = dirname(dir);
  return { dir, described: JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) };
}

function file(path) {
  const found = ENDINGS.map((ending) => path + ending).find((path) => existsSync(path) && statSync(path).isFile());
  if (!found) throw new Error(`there is no ${path}`);
  return found;
}

function resolved(name, from) {
  name = INSTEAD[name] ?? name;
  if (name.startsWith(".") || name.startsWith("/")) return file(resolve(from, name));
  if (name.startsWith("#")) {
    const { dir, described } = packageOf(from);
    return file(join(dir, mapped(described.imports, name)));
  }
  const [, packed, rest] = /^((?:@[^/]+\/)?[^/]+)(.*)$/.exec(name);
  let dir = from;
  while (!existsSync(join(dir, "node_modules", packed))) {
    if (dir === dirname(dir)) throw new Error(`${name} is not installed`);
    dir = dirname(dir);
  }
  const { dir: at, described } = packageOf(join(dir, "node_modules", packed));
  const within = described.exports && mapped(typeof described.exports === "string" ? { ".": described.exports } : described.exports, `.${rest}`);
  return file(join(at, within ?? (rest || described.module || described.main || "index.js")));
}

function script(path) {
  const text = readFileSync(path, "utf8");
  const compiled = (text) =>
    ts.transpileModule(text, { compilerOptions: { jsx: "react-jsx", module: "esnext", target: "es2022", verbatimModuleSyntax: false } }).outputText;
  switch (extname(path)) {
    case ".ts":
    case ".tsx":
    case ".jsx":
      return compiled(text);
    case ".vue": {
      const { compileScript, parse } = require("vue/compiler-sfc");
      return compiled(compileScript(parse(text).descriptor, { id: "shop", inlineTemplate: true }).content);
    }
    case ".svelte":
      return require("svelte/compiler").compile(text, { generate: "client", filename: path }).js.code;
    default:
      return text;
  }
}

/** A module whose names are those that Node finds in it. */
function common(path, text) {
  const names = [...new Set([...text.matchAll(/require\(["']([^"']+)["']\)/g)].map(([, name]) => name))];
  const imports = names.map((name, at) => `import m${at} from "${add(resolved(name, dirname(path)))}";`);
  const known = names.map((name, at) => `${JSON.stringify(name)}: m${at}`);
  const exported = Object.keys(require(path)).filter((name) => /^[a-z_]\w*$/i.test(name) && name !== "default");
  return `${imports.join("\n")}
const known = { ${known.join(", ")} };
const module = { exports: {} };
(function (module, exports, require, process) {
${text}
})(module, module.exports, (name) => known[name], { env: { NODE_ENV: "development" } });
export default module.exports;
const own = module.exports;
${exported.map((name) => `export const _${name} = own.${name}; export { _${name} as ${name} };`).join("\n")}
`;
}

/** With each import under the address that it is served at. */
function linked(path, text) {
  const imported = ts.preProcessFile(text, true, true).importedFiles;
  for (const { fileName, pos } of imported.reverse()) {
    text = `${text.slice(0, pos)}${JSON.stringify(add(resolved(fileName, dirname(path))))}${text.slice(pos + fileName.length + 2)}`;
  }
  return text.replaceAll("process.env.NODE_ENV", '"development"');
}

function add(path) {
  const known = addresses.get(path);
  if (known) return known;
  const address = `/modules/${addresses.size}.js`;
  addresses.set(path, address);
  const text = script(path);
  const { dir, described } = packageOf(dirname(path));
  const says = path.endsWith(".mjs") || described.type === "module" || dir === process.cwd();
  const module = says || /^(import|export)\b\s*[\w{*"']/m.test(text);
  if (path.endsWith(".production.js")) files[address] = "export default {};";
  else files[address] = module ? linked(path, text) : common(path, text);
  return address;
}

const entry = add(resolve(process.argv[2]));
process.stdout.write(JSON.stringify({ entry, files }));
