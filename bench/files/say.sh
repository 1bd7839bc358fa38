#!/bin/sh
# A program with one answer, built into the shell.
printf '%s\n' @TEXT@
