// Drafts release notes from commits that follow, or do not follow, the Conventional Commits convention.
const sections = { feat: "Features", fix: "Fixes", perf: "Performance", docs: "Documentation" };
const other = "Other changes";

function read({ id, message }) {
  const [subject] = message.split("\n");
  const found = /^(?<type>[a-z]+)(\((?<scope>[^)]*)\))?(?<bang>!)?:\s*(?<text>.+)$/.exec(subject);
  const { type, scope, bang, text } = found?.groups ?? { text: subject };
  const breaking = Boolean(bang) || /^BREAKING[ -]CHANGE:/m.test(message);
  return { section: sections[type] ?? other, line: `- ${scope ? `**${scope}:** ` : ""}${text} (${id.slice(0, 7)})`, breaking };
}

export function notes({ repository, revision, commits }) {
  const entries = commits.map(read);
  const parts = [`# ${repository} ${revision.slice(0, 7)}`];
  const breaking = entries.filter((e) => e.breaking);
  if (breaking.length > 0) parts.push(["## Breaking changes", ...breaking.map((e) => e.line)].join("\n"));
  for (const title of [...Object.values(sections), other]) {
    const lines = entries.filter((e) => e.section === title).map((e) => e.line);
    if (lines.length > 0) parts.push([`## ${title}`, ...lines].join("\n"));
  }
  const markdown = parts.join("\n\n") + "\n";
  console.log(markdown);
  return { markdown, commits: commits.length, breaking: breaking.length > 0 };
}
