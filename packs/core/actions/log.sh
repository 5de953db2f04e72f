#!/bin/sh
printf '%s: %s\n' "$level" "$message"
if [ -n "$data" ]; then
  printf '%s\n' "$data"
fi
