#!/bin/sh
# The command is evaluated here, not handed to another shell: it is never part of a command line that others see.
if [ -n "$stdin" ]; then
  printf '%s' "$stdin" | eval "$command"
else
  eval "$command" </dev/null
fi
