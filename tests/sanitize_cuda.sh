#!/usr/bin/env bash
# The kernel tests on a GPU under compute-sanitizer: accesses out of bounds, races in shared memory, barriers that not all threads
# reach, reads of memory that nobody wrote. Every tensor is a block of its own (DNNCORE_CUDA_CACHE=0), whose bounds the tools know.
# tests/sanitize_cuda.sh [TOOL...] [-- PYTEST ARGUMENTS...]   e.g. racecheck -- -k "on_a_device and gemm"; PYTHON names another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'sanitize_cuda: %s\n' "$1" >&2; exit 2; }

tools=()
while (($#)) && [[ $1 != -- ]]; do
  case $1 in
    memcheck | racecheck | synccheck | initcheck) tools+=("$1") ;;
    *) fail "expected memcheck, racecheck, synccheck or initcheck, got '$1'" ;;
  esac
  shift
done
(($# == 0)) || shift
((${#tools[@]})) || tools=(memcheck racecheck synccheck initcheck)

python=${PYTHON:-python3}
sanitizer=$(command -v compute-sanitizer || command -v /usr/local/cuda/bin/compute-sanitizer) ||
  fail "compute-sanitizer is not there; it is part of the CUDA toolkit: put its bin folder on PATH"
"$python" -c 'import dnncore' || fail "$python cannot import dnncore"
reason=$("$python" -c 'from dnncore import cuda; print(cuda.unavailable_reason())')
[[ -z $reason ]] || fail "no device that can be used: $reason"
name=$("$python" -c 'from dnncore import cuda; print(cuda.get_device_name())')
[[ $name != "emulated device" ]] || fail "this build of dnncore has the emulated device; build it with -DDNNCORE_CUDA=ON"

export DNNCORE_CUDA_CACHE=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
for tool in "${tools[@]}"; do
  printf '\n=== %s on %s (%d s)\n' "$tool" "$name" "$SECONDS"
  "$sanitizer" --tool "$tool" --error-exitcode 86 --target-processes all \
    "$python" -m pytest -q -p no:cacheprovider tests/test_kernels.py -k on_a_device "$@" 2>&1 | tee "$log" || failed+=("$tool")
  grep -Eq '(^|[^0-9])[1-9][0-9]* passed' "$log" || fail "$tool: no test has passed"
done
if ((${#failed[@]})); then
  printf '\nerrors found by: %s\n' "${failed[*]}"
  exit 1
fi
printf '\nno errors: %s\n' "${tools[*]}"
