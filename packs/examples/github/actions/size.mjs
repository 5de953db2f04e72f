// Says how large a pull request is by the lines that it changes.
const sizes = [[10, "size/XS"], [50, "size/S"], [250, "size/M"], [1000, "size/L"], [Infinity, "size/XL"]];

export function size({ repository, number, body, additions, deletions, files }) {
  const lines = additions + deletions;
  const [, label] = sizes.find(([most]) => lines < most);
  const hints = [];
  if (!body?.trim()) hints.push("it has no description");
  if (lines >= 1000) hints.push("it may be too large to review at once");
  if (files > 50) hints.push(`it touches ${files} files`);
  console.log(`${repository}#${number}: ${label}`);
  return { label, hints };
}
