#!/bin/sh
# Runs a compiler; what ptxas says of registers and memory goes to a file instead of the terminal:
# ptxas_report.sh OBJECT COMMAND... writes OBJECT.ptxas. tools/check_cuda.sh reads those.
object=$1
shift
said=$object.said
"$@" 2>"$said"
status=$?
of_ptxas='^ptxas info|^ *[0-9]+ bytes stack frame|^ *[0-9]+ bytes gmem'
case $object in
  *.cu.o) grep -E "$of_ptxas" "$said" >"$object.ptxas" ;;
esac
grep -vE "$of_ptxas" "$said" >&2
rm -f "$said"
exit $status
