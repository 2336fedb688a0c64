# LibTorch as imported targets written by hand: its own CMake package demands nvcc and a CUDA toolkit, linking does not.
# Installed too. Needs ATELIER_TORCH_DIR, ATELIER_NVIDIA_DIR and ATELIER_WITH_CUDA.
#   torch::torch_cpu    always
#   torch::torch_cuda   with ATELIER_WITH_CUDA: link it where CUDA sources stand; static libraries pass it on
include_guard()

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
