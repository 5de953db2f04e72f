// Calls a function of an action: attune.mjs FILE FUNCTION.
//
// Reads the execution from standard input, calls the function with the parameters as one object and with the
// secrets, the configuration and the execution as a second, and writes what it returns, or what its promise
// comes to, to the result file. FILE is an ES module or a CommonJS one. A result file that begins with "!"
// holds a complaint about the returned value instead of a value.
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";

function find(module, name) {
  for (const from of [module, module.default]) {
    if (from && typeof from[name] === "function") return from[name];
  }
  return undefined;
}

// JSON.stringify would turn what JSON cannot hold into null, silently.
function refuseNonFinite(key, value) {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TypeError(`${key === "" ? "the value" : JSON.stringify(key)} is ${value}, which is not JSON`);
  }
  return value;
}

function encode(value) {
  try {
    return JSON.stringify(value, refuseNonFinite) ?? `!a ${typeof value} is not JSON`;
  } catch (fault) {
    return `!${fault.message}`;
  }
}

async function main() {
  const [node, , path, name] = process.argv;
  process.argv = [node, path];
  const { parameters, secrets, config, execution } = JSON.parse(readFileSync(0, "utf8"));
  const call = find(await import(pathToFileURL(path).href), name);
  if (call === undefined) {
    console.error(`attune: ${basename(path)} exports no function ${name}`);
    process.exit(1);
  }
  const value = await call(parameters, { secrets, config, execution });
  if (value !== undefined && value !== null) {
    writeFileSync(process.env.ATTUNE_RESULT_FILE, encode(value));
  }
}

await main();
