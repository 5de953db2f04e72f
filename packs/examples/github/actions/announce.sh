#!/bin/sh
# The announcement is what this prints.
printf '%s %s is out' "$repository" "$tag"
if [ -n "$name" ] && [ "$name" != "$tag" ]; then
  printf ': %s' "$name"
fi
printf '\n'
if [ -n "$notes" ]; then
  printf '\n%s\n' "$notes"
fi
