# The CUDA kernels compiled for the emulator, as one object: what nobody names, weak references above all, stays in it.
file(GLOB cuda_sources CONFIGURE_DEPENDS cuda/*.cu)
list(FILTER cuda_sources EXCLUDE REGEX "/module\\.cu$")  # the run time itself
add_library(dnncore_emulated OBJECT ${cuda_sources} cuda/emulator/emulator.cpp cuda/emulator/table.cpp)
set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
set_target_properties(dnncore_emulated PROPERTIES UNITY_BUILD OFF)
target_link_libraries(dnncore_emulated PRIVATE dnncore_flags)
target_include_directories(dnncore_emulated BEFORE PRIVATE cuda/emulator)
# A fused multiply-add is one instruction there, a call elsewhere.
target_compile_options(dnncore_emulated PRIVATE -Wno-unknown-pragmas -march=x86-64-v3 $<$<CONFIG:Release>:-O2>)
set(emulated_object ${CMAKE_CURRENT_BINARY_DIR}/emulated.o)
add_custom_command(
  OUTPUT ${emulated_object}
  COMMAND ${CMAKE_LINKER} -r -o ${emulated_object} $<TARGET_OBJECTS:dnncore_emulated>
  DEPENDS dnncore_emulated $<TARGET_OBJECTS:dnncore_emulated>
  COMMAND_EXPAND_LISTS
  COMMENT "Joining the emulated kernels")
set_source_files_properties(${emulated_object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
target_sources(dnncore PRIVATE ${emulated_object})
target_compile_definitions(dnncore PRIVATE DNNCORE_HAS_emulated)
target_compile_definitions(dnncore_emulated PRIVATE DNNCORE_VERSION="${DNNCORE_VERSION}")
