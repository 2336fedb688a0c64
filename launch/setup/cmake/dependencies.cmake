# What launch/setup/install fetched, or the user has: the folder, the tests' Python, and NCCL (usable without LibTorch).
include_guard()

set(default_deps "${CMAKE_SOURCE_DIR}/.deps")
if(DEFINED ENV{ATELIER_DEPS})
  set(default_deps "$ENV{ATELIER_DEPS}")
endif()
set(ATELIER_DEPS "${default_deps}" CACHE PATH "Folder launch/setup/install filled")
set(ATELIER_TORCH "$ENV{ATELIER_TORCH}" CACHE PATH "A LibTorch of one's own (holds include/ and lib/) in place of the fetched one")

# ATELIER_TORCH_DIR holds include/ and lib/; ATELIER_NVIDIA_DIR the libraries of the CUDA wheels.
if(ATELIER_TORCH)
  set(ATELIER_TORCH_DIR "${ATELIER_TORCH}")
  cmake_path(GET ATELIER_TORCH PARENT_PATH site)
else()
  set(site "${ATELIER_DEPS}/site")
  set(ATELIER_TORCH_DIR "${site}/torch")
endif()
set(ATELIER_NVIDIA_DIR "${site}/nvidia")

# The stamp is written last: without it the set is not whole.
set(full_set_found OFF)
if(EXISTS "${site}/full.stamp" OR (ATELIER_TORCH AND EXISTS "${ATELIER_TORCH_DIR}/lib/libtorch_cuda.so"
                                   AND EXISTS "${ATELIER_NVIDIA_DIR}/nccl/include/nccl.h"))
  set(full_set_found ON)
endif()
set(default_with_cuda ${full_set_found})
if(DEFINED ENV{ATELIER_WITH_CUDA})
  set(default_with_cuda "$ENV{ATELIER_WITH_CUDA}")
endif()
option(ATELIER_WITH_CUDA "Compile the CUDA and NCCL paths (needs the full set, but no CUDA toolkit)" ${default_with_cuda})
if(ATELIER_WITH_CUDA AND NOT full_set_found)
  message(FATAL_ERROR "ATELIER_WITH_CUDA is ON, but ${site} holds no full set of CUDA libraries.\n"
    "Run  ATELIER_WITH_CUDA=ON ./launch/setup/install  or configure with -DATELIER_WITH_CUDA=OFF.")
endif()

# Tests call independent readers (h5py, safetensors, ...) with this interpreter.
if(EXISTS "${ATELIER_DEPS}/venv/readers.stamp" AND NOT DEFINED Python3_EXECUTABLE)
  set(Python3_EXECUTABLE "${ATELIER_DEPS}/venv/bin/python")
endif()

include(nvidia_targets)
