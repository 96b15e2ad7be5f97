# One library per instruction set: all kernel sources compiled with its flags, merged into one object and stripped to its table.
# Why: an inline function (ours or the standard library's) compiled with wide flags is a weak symbol the linker may hand to code that
# runs on an old CPU. After the merge nothing but `dnncore_table_<isa>` is visible.

set(DNNCORE_FLAGS_sse2 -msse2)
set(DNNCORE_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2)
set(DNNCORE_FLAGS_avx512 ${DNNCORE_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mprefer-vector-width=512)
set(DNNCORE_FLAGS_avx512bf16 ${DNNCORE_FLAGS_avx512} -mavx512bf16)
set(DNNCORE_FLAGS_neon "")

function(dnncore_add_isa isa result)
  set(sources ${DNNCORE_KERNEL_SOURCES})
  set(definitions DNNCORE_ISA=${isa})
  if(isa STREQUAL "avx512bf16")  # extends avx512, which must be built too: own matrix products only
    list(FILTER sources INCLUDE REGEX "/(gemm.*|table)\\.cpp$")
    list(APPEND definitions DNNCORE_DOT_KERNELS_ONLY)
  endif()
  add_library(dnncore_${isa} OBJECT ${sources})
  target_link_libraries(dnncore_${isa} PRIVATE dnncore_flags)
  target_compile_definitions(dnncore_${isa} PRIVATE ${definitions})
  target_compile_options(dnncore_${isa} PRIVATE ${DNNCORE_FLAGS_${isa}})
  if(DNNCORE_SANITIZE)
    # Its -O1 stays: instrumented kernels take three times as long to compile with -O3.
  elseif(isa STREQUAL "sse2")
    target_compile_options(dnncore_${isa} PRIVATE $<$<CONFIG:Release>:-Os>)  # half the size; for CPUs of before 2013
  else()
    target_compile_options(dnncore_${isa} PRIVATE $<$<CONFIG:Release>:-O2>)
    set_target_properties(dnncore_${isa} PROPERTIES DNNCORE_OPTIMIZED -O3)
  endif()
  set(merged ${CMAKE_CURRENT_BINARY_DIR}/${isa}_merged.o)
  set(stripped ${CMAKE_CURRENT_BINARY_DIR}/${isa}.o)
  add_custom_command(
    OUTPUT ${stripped}
    COMMAND ${CMAKE_LINKER} -r --force-group-allocation -o ${merged} $<TARGET_OBJECTS:dnncore_${isa}>
    COMMAND ${CMAKE_OBJCOPY} --keep-global-symbol=dnncore_table_${isa} ${merged} ${stripped}
    DEPENDS dnncore_${isa} $<TARGET_OBJECTS:dnncore_${isa}>
    COMMAND_EXPAND_LISTS
    COMMENT "Merging the ${isa} kernels")
  set(${result} ${stripped} PARENT_SCOPE)
endfunction()
