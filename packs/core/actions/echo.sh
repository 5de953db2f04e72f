#!/bin/sh
# A shell has no JSON of its own: awk writes the message as a JSON string. The dot keeps a newline at the end.
set -e
printf '%s\n' "$message"
printf '%s.' "$message" | LC_ALL=C awk '
  BEGIN { for (i = 1; i < 32; i++) control[i] = sprintf("%c", i); printf "{\"message\":\"" }
  NR > 1 { printf "%s\\n", line }
  {
    line = $0
    gsub(/\\/, "\\\\&", line)
    gsub(/"/, "\\\"", line)
    if (line ~ /[\001-\037]/) for (i = 1; i < 32; i++) gsub(control[i], sprintf("\\u%04x", i), line)
  }
  END { printf "%s\"}", substr(line, 1, length(line) - 1) }
' > "$ATTUNE_RESULT_FILE"
