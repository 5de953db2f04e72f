// Calls a function of an action: attune.mjs FILE FUNCTION [DESCRIPTOR].
//
// Reads the execution from standard input, calls the function with the parameters as one object and with the
// secrets, the configuration and the execution as a second, and writes what it returns, or what its promise
// comes to, to the result file. FILE is an ES module or a CommonJS one. A result file that begins with "!"
// holds a complaint about the returned value instead of a value.
//
// With a descriptor it is a spare: it loads FILE first, says there that it waits, gets its execution whenever there is
// one, and says that it has it. What FILE does while it is loaded cannot tell the difference, but by the id of the
// execution. While it waits nothing that FILE has begun goes on.
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
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

async function load(path, name) {
  const call = find(await import(pathToFileURL(path).href), name);
  if (call === undefined) {
    console.error(`attune: ${basename(path)} exports no function ${name}`);
    process.exit(1);
  }
  return call;
}

async function wait(path, name, descriptor) {
  const source = openSync("/proc/self/fd/0"); // no program that the module starts inherits it, or reads from it
  closeSync(0);
  openSync("/dev/null"); // the lowest number that is free
  const call = await load(path, name);
  writeSync(descriptor, "w");
  const text = readFileSync(source, "utf8");
  closeSync(source);
  if (text === "") process.exit(0); // nobody needs it any more
  const given = JSON.parse(text);
  writeSync(descriptor, "r");
  closeSync(descriptor);
  process.env.ATTUNE_EXECUTION_ID = given.execution.id;
  process.env.ATTUNE_ATTEMPT = given.execution.attempt;
  return { call, given };
}

async function start(path, name) {
  const given = JSON.parse(readFileSync(0, "utf8"));
  return { call: await load(path, name), given };
}

async function main() {
  const [node, , path, name, descriptor] = process.argv;
  process.argv = [node, path];
  const { call, given } = await (descriptor === undefined ? start(path, name) : wait(path, name, Number(descriptor)));
  const { parameters, secrets, config, execution } = given;
  const value = await call(parameters, { secrets, config, execution });
  if (value !== undefined && value !== null) {
    writeFileSync(process.env.ATTUNE_RESULT_FILE, encode(value));
  }
}

await main();
