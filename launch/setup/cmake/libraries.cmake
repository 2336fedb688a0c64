# Third-party libraries, found once, each as one imported target.
include_guard()

include(dependencies)  # ATELIER_WITH_CUDA, atelier_nccl, the tests' Python

find_package(PkgConfig REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(LibArchive REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(prometheus-cpp CONFIG REQUIRED COMPONENTS core pull)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(webp REQUIRED IMPORTED_TARGET libwebp libwebpdemux)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
if(ATELIER_BUILD_TESTS)
  find_package(GTest REQUIRED)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()

# The C++ bindings of MPI are deprecated and would need libmpi_cxx.
add_library(atelier_mpi_c INTERFACE)
target_link_libraries(atelier_mpi_c INTERFACE MPI::MPI_C)
target_compile_definitions(atelier_mpi_c INTERFACE OMPI_SKIP_MPICXX=1 MPICH_SKIP_MPICXX=1)

add_library(atelier_hdf5_c INTERFACE)
target_include_directories(atelier_hdf5_c SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(atelier_hdf5_c INTERFACE ${HDF5_C_LIBRARIES})

if(ATELIER_WITH_TORCH)
  include(torch)  # torch::torch_cpu, and torch::torch_cuda with ATELIER_WITH_CUDA
endif()
