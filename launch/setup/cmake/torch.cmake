# LibTorch as imported targets written by hand: its own CMake package demands nvcc and a CUDA toolkit, linking does not.
#   torch::torch_cpu    always
#   torch::torch_cuda   with ATELIER_WITH_CUDA: link it where CUDA sources stand; static libraries pass it on
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

set(torch_lib "${ATELIER_TORCH_DIR}/lib")
add_library(torch::c10 SHARED IMPORTED GLOBAL)
set_target_properties(torch::c10 PROPERTIES IMPORTED_LOCATION "${torch_lib}/libc10.so")
target_include_directories(torch::c10 SYSTEM INTERFACE
  "${ATELIER_TORCH_DIR}/include" "${ATELIER_TORCH_DIR}/include/torch/csrc/api/include")

add_library(torch::torch_cpu SHARED IMPORTED GLOBAL)
set_target_properties(torch::torch_cpu PROPERTIES IMPORTED_LOCATION "${torch_lib}/libtorch_cpu.so")
target_link_libraries(torch::torch_cpu INTERFACE torch::c10)
# What the library itself needs is found by its own rpath at run time; the linker wants to be told.
target_link_options(torch::torch_cpu INTERFACE "LINKER:-rpath-link,${torch_lib}:${ATELIER_NVIDIA_DIR}/cu13/lib")

if(ATELIER_WITH_CUDA)
  add_library(torch::c10_cuda SHARED IMPORTED GLOBAL)
  set_target_properties(torch::c10_cuda PROPERTIES IMPORTED_LOCATION "${torch_lib}/libc10_cuda.so")
  target_link_libraries(torch::c10_cuda INTERFACE torch::c10 nvidia::cudart)

  # Its kernels register themselves when it is loaded, so it must be linked though no symbol of it is used.
  add_library(torch::torch_cuda INTERFACE IMPORTED GLOBAL)
  target_include_directories(torch::torch_cuda SYSTEM INTERFACE "${ATELIER_NVIDIA_DIR}/cudnn/include")
  set(nvidia_libs "${ATELIER_NVIDIA_DIR}/cudnn/lib:${ATELIER_NVIDIA_DIR}/cusparselt/lib:${ATELIER_NVIDIA_DIR}/nvshmem/lib")
  target_link_options(torch::torch_cuda INTERFACE "LINKER:-rpath-link,${nvidia_libs}:${ATELIER_NVIDIA_DIR}/nccl/lib")
  target_link_libraries(torch::torch_cuda INTERFACE
    "-Wl,--push-state,--no-as-needed,${torch_lib}/libtorch_cuda.so,--pop-state" torch::c10_cuda torch::torch_cpu atelier_nccl)
endif()

add_library(atelier_torch INTERFACE)
target_link_libraries(atelier_torch INTERFACE atelier_options torch::torch_cpu)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(atelier_torch INTERFACE -fpch-preprocess)  # lets ccache see what a precompiled header stands for
endif()

# The precompiled header is built once, here; every other target reuses it, so all must have the same compile options. CMake
# builds one only for a target with a source file.
file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/torch_pch.cpp" CONTENT "// Stands for the precompiled <torch/torch.h>.\n")
add_library(atelier_torch_pch OBJECT "${CMAKE_BINARY_DIR}/torch_pch.cpp")
target_link_libraries(atelier_torch_pch PRIVATE atelier_torch)
target_precompile_headers(atelier_torch_pch PRIVATE <torch/torch.h>)
