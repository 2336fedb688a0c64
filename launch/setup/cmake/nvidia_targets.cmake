# NCCL and the CUDA run time as imported targets, usable without LibTorch. Installed too. Needs ATELIER_NVIDIA_DIR and
# ATELIER_WITH_CUDA.
include_guard()

# atelier_nvidia_library(<target> <file below nvidia/>): an imported shared library; its folder enters the build's rpath.
function(atelier_nvidia_library target file)
  add_library(${target} SHARED IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${ATELIER_NVIDIA_DIR}/${file}")
endfunction()

if(ATELIER_WITH_CUDA)
  atelier_nvidia_library(nvidia::cudart cu13/lib/libcudart.so.13)
  target_include_directories(nvidia::cudart SYSTEM INTERFACE "${ATELIER_NVIDIA_DIR}/cu13/include")
  atelier_nvidia_library(atelier_nccl nccl/lib/libnccl.so.2)
  target_include_directories(atelier_nccl SYSTEM INTERFACE "${ATELIER_NVIDIA_DIR}/nccl/include")
  target_link_libraries(atelier_nccl INTERFACE nvidia::cudart)
endif()
