#!/bin/sh
printf '%s\n' "$message" >&2
exit "$exit_code"
