#!/usr/bin/env bash
# Builds, tests and measures the CUDA kernels on a machine with an NVIDIA GPU, in steps of less than ten minutes each; nothing is fetched.
# bench/run_gpu.sh build|test|operations|bench|sanitize|all [OUTPUT FOLDER]
# Needs nvcc 12.4 or later, a C++20 compiler, cmake, and a Python (PYTHON, else python3) with its headers and the packages of check();
# WHEELS names a folder of wheels that are unpacked for it first. ARCHITECTURES (90a), JOBS (all processors) and STEP_SECONDS (570) may
# be set. cuBLAS and cuDNN are found among Python's packages, or where DNNCORE_CUBLAS and DNNCORE_CUDNN say.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'run_gpu: %s\n' "$1" >&2; exit 2; }
say() { printf '\n=== %s (%d s)\n' "$1" "$SECONDS"; }

step=${1:-}
case $step in
  build | test | operations | bench | sanitize | all) ;;
  *) fail "expected build, test, operations, bench, sanitize or all, got '$step'" ;;
esac
out=${2:-build/gpu_results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
build=$PWD/build/gpu
python=${PYTHON:-python3}
limit=${STEP_SECONDS:-570}
architectures=${ARCHITECTURES:-90a}
jobs=${JOBS:-$(nproc)}
export PATH=$PATH:/usr/local/cuda/bin
export PYTHONPATH=$PWD/python${PYTHONPATH:+:$PYTHONPATH} DNNCORE_BUILD_DIR=$build

command -v "$python" >/dev/null || fail "there is no $python: PYTHON names another interpreter"
if [[ -n ${WHEELS:-} ]]; then
  [[ -d $WHEELS ]] || fail "WHEELS names '$WHEELS', which is no folder"
  site=$build/site
  if [[ ! -d $site ]]; then
    mkdir -p "$build"
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site.new" "$WHEELS"/*.whl ||
      fail "the wheels of $WHEELS cannot be installed"
    mv "$site.new" "$site"
  fi
  export PYTHONPATH=$PYTHONPATH:$site PATH=$site/bin:$PATH
fi

# Everything that the steps need, before minutes are spent.
check() {
  local missing=()
  for tool in nvcc cmake c++ nvidia-smi; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  for package in pybind11 numpy safetensors tqdm click pytest hypothesis ml_dtypes; do
    "$python" -c "import $package" 2>/dev/null || missing+=("$python's $package")
  done
  "$python" -c 'import os, sysconfig; os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null ||
    missing+=("$python's Python.h")
  ((${#missing[@]} == 0)) || fail "not there: ${missing[*]}"
  nvidia-smi -L || fail "nvidia-smi finds no GPU"
}

# Names what of NVIDIA's libraries lies among Python's packages, unless the caller did.
find_libraries() {
  local site
  for site in $("$python" -c 'import site, sys; print(*dict.fromkeys([*sys.path, *site.getsitepackages()]))'); do
    [[ -d $site/nvidia ]] || continue
    [[ -n ${DNNCORE_CUBLAS:-} ]] || DNNCORE_CUBLAS=$(find "$site/nvidia" -name 'libcublas.so.*' -print -quit)
    [[ -n ${DNNCORE_CUDNN:-} ]] || DNNCORE_CUDNN=$(find "$site/nvidia" -name 'libcudnn.so.*' -print -quit)
  done
  export DNNCORE_CUBLAS=${DNNCORE_CUBLAS:-} DNNCORE_CUDNN=${DNNCORE_CUDNN:-}
  local folders=()
  for library in "$DNNCORE_CUBLAS" "$DNNCORE_CUDNN"; do [[ -z $library ]] || folders+=("$(dirname "$library")"); done
  local joined
  joined=$(IFS=:; printf '%s' "${folders[*]}")
  export LD_LIBRARY_PATH=${joined:+$joined:}${LD_LIBRARY_PATH:-}
}

# A command under the step's limit, its output shown and kept. Returns its status.
kept() {
  local name=$1
  shift
  local status=0
  timeout -k 10 "$limit" "$@" 2>&1 | tee "$out/$name.log" || status=${PIPESTATUS[0]}
  ((status != 124)) || printf 'run_gpu: %s did not end within %s s\n' "$name" "$limit"
  printf '%s\t%s\t%d s\n' "$name" "$([[ $status == 0 ]] && echo passed || echo "failed ($status)")" "$SECONDS" >>"$out/steps.tsv"
  return "$status"
}

build_all() {
  local generator=()
  command -v ninja >/dev/null && generator=(-G Ninja)
  cmake -S . -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DDNNCORE_PYTHON=ON -DDNNCORE_CUDA=ON -DDNNCORE_ISAS=avx2 \
    "-DDNNCORE_CUDA_ARCHITECTURES=$architectures" "-DPython_EXECUTABLE=$(command -v "$python")" \
    "-Dpybind11_DIR=$("$python" -m pybind11 --cmakedir)"
  # The benchmark needs none of the rest.
  nvcc -std=c++20 -O2 "-arch=sm_${architectures%%[;-]*}" --expt-relaxed-constexpr -Icsrc bench/cuda/*.cu -o "$build/dnncore_bench_cuda" -ldl &
  local bench=$! status=0
  cmake --build "$build" --parallel "$jobs" || status=$?
  wait "$bench" || status=$?
  for library in "$build"/_core*.so "$build"/_cuda.so; do
    if [[ -f $library ]]; then cp "$library" python/dnncore/; else status=1; fi
  done
  ((status == 0)) || return "$status"
  # Without a device tests would be skipped, not fail.
  "$python" -c 'import sys; from dnncore import cuda; sys.exit(cuda.unavailable_reason() or print(cuda.get_device_name()))'
}

run_build() {
  say "build for sm_$architectures with $jobs jobs"
  export -f build_all
  export build python architectures jobs
  kept build bash -euo pipefail -c build_all
}

tests() {
  local name=$1
  shift
  local parallel=()
  "$python" -c 'import xdist' 2>/dev/null && parallel=(-n 4)
  kept "$name" "$python" -m pytest -q -p no:cacheprovider "${parallel[@]}" --maxfail=40 "$@"
}

# These name the device themselves.
run_test() {
  say "tests of kernels and devices"
  tests test tests/test_kernels.py tests/test_kernel_list.py tests/test_devices.py tests/test_devices_streams.py tests/test_devices_model.py \
    tests/test_devices_parts.py tests/test_csv.py
}

# These are written for the CPU and get every tensor on the device.
run_operations() {
  say "tests of operations on the device"
  DNNCORE_TEST_DEVICE=cuda tests operations tests/test_gemm.py tests/test_conv.py tests/test_softmax.py tests/test_norm.py \
    tests/test_optimizers.py
}

# A process per family: what one breaks, the others do not see.
run_bench() {
  [[ -x $build/dnncore_bench_cuda ]] || fail "there is no $build/dnncore_bench_cuda: run 'bench/run_gpu.sh build' first"
  find_libraries
  local status=0 family
  nvidia-smi >"$out/nvidia-smi.txt" 2>&1 || true
  for family in gemm memory conv; do
    say "benchmark: $family"
    kept "bench_$family" "$build/dnncore_bench_cuda" --module "$build/_cuda.so" --only "$family" --seconds "$((limit / 3 - 10))" \
      --json "$out/bench_$family.json" || status=1
  done
  return "$status"
}

run_sanitize() {
  say "compute-sanitizer"
  local status=0 tool
  for tool in memcheck racecheck; do PYTHON=$python kept "sanitize_$tool" tests/sanitize_cuda.sh "$tool" || status=1; done
  return "$status"
}

check
case $step in
  all)
    status=0
    run_build || fail "the build failed: $out/build.log"
    run_test || status=1
    run_operations || status=1
    run_bench || status=1
    run_sanitize || status=1
    say "done"
    cat "$out/steps.tsv"
    exit "$status"
    ;;
  *) "run_$step" ;;
esac
