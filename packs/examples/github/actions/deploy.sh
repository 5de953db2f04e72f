#!/bin/sh
set -e
for step in "fetch" "migrate" "switch over" "check health"; do
  printf '%s: %s %s\n' "$repository" "$step" "$revision"
  sleep "$seconds"
done
printf '{"deployed": "%s"}' "$revision" > "$ATTUNE_RESULT_FILE"
