# LibTorch: checked, then as imported targets (torch_targets.cmake).
#   atelier_torch       what every torch source of the project is compiled with; the one precompiled <torch/torch.h> goes with it
include_guard()

# Fails with what to do next unless `ATELIER_TORCH_DIR` is a whole LibTorch of the pinned version.
function(atelier_check_torch)
  file(STRINGS "${CMAKE_SOURCE_DIR}/launch/setup/wheels.txt" row REGEX "^light +torch +")
  string(REGEX REPLACE "^light +torch +([^ ]+).*" "\\1" expected "${row}")
  set(version_header "${ATELIER_TORCH_DIR}/include/torch/headeronly/version.h")
  set(site_is_whole ON)
  if(NOT ATELIER_TORCH AND NOT EXISTS "${ATELIER_DEPS}/site/light.stamp" AND NOT EXISTS "${ATELIER_DEPS}/site/full.stamp")
    set(site_is_whole OFF)
  endif()
  if(NOT site_is_whole OR NOT EXISTS "${ATELIER_TORCH_DIR}/lib/libtorch_cpu.so" OR NOT EXISTS "${version_header}")
    message(FATAL_ERROR "No LibTorch ${expected} in ${ATELIER_TORCH_DIR}.\nRun  ./launch/setup/install  "
      "or set ATELIER_TORCH to a folder that holds include/ and lib/; -DATELIER_WITH_TORCH=OFF builds the parts without it.")
  endif()
  file(STRINGS "${version_header}" lines REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
  string(REGEX REPLACE "#define TORCH_VERSION_[A-Z]+ " "" found "${lines}")
  string(REPLACE ";" "." found "${found}")
  if(NOT found STREQUAL expected)
    message(FATAL_ERROR "LibTorch in ${ATELIER_TORCH_DIR} is ${found}, expected ${expected}.\n"
      "Run  ./launch/setup/install  or set ATELIER_TORCH to a LibTorch ${expected}.")
  endif()
endfunction()
atelier_check_torch()

include(torch_targets)

add_library(atelier_torch INTERFACE)
target_link_libraries(atelier_torch INTERFACE atelier_options torch::torch_cpu)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(atelier_torch INTERFACE $<BUILD_INTERFACE:-fpch-preprocess>)  # lets ccache see what a precompiled header stands for
endif()

# The precompiled header is built once, here; every other target reuses it, so all must have the same compile options. CMake
# builds one only for a target with a source file.
file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/torch_pch.cpp" CONTENT "// Stands for the precompiled <torch/torch.h>.\n")
add_library(atelier_torch_pch OBJECT "${CMAKE_BINARY_DIR}/torch_pch.cpp")
target_link_libraries(atelier_torch_pch PRIVATE atelier_torch)
target_precompile_headers(atelier_torch_pch PRIVATE <torch/torch.h>)
