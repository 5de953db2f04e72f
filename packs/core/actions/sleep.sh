#!/bin/sh
exec sleep "$seconds"
