export function run({ name }) {
  console.log(`Hello, ${name}!`);
  return { greeted: name };
}
