# `cmake --install`: the program, and the communicator and the engine as a CMake package for programs of others:
#   find_package(atelier) -> atelier::comm (no LibTorch), atelier::engine
include_guard()
include(CMakePackageConfigHelpers)

set(package_folder lib/cmake/atelier)
set(exported atelier_options atelier_mpi_c atelier_base atelier_comm)
set(exported_folders launch/base launch/comm)
if(ATELIER_WITH_TORCH)
  list(APPEND exported atelier_torch atelier_device atelier_parallel atelier_networks atelier_objectives atelier_engine)
  list(APPEND exported_folders trainer/device trainer/parallel trainer/networks trainer/objectives trainer/engine)
  # The program finds LibTorch and NCCL where the build found them.
  set_target_properties(atelier PROPERTIES
    INSTALL_RPATH "$ORIGIN/../lib;${ATELIER_TORCH_DIR}/lib;${ATELIER_NVIDIA_DIR}/nccl/lib;${ATELIER_NVIDIA_DIR}/cu13/lib")
  install(TARGETS atelier RUNTIME DESTINATION bin)
  if(ATELIER_WITH_CUDA)
    install(TARGETS atelier_cuda_recording LIBRARY DESTINATION lib)
  endif()
endif()
install(TARGETS ${exported} EXPORT atelier ARCHIVE DESTINATION lib)
install(EXPORT atelier NAMESPACE atelier:: DESTINATION ${package_folder} FILE atelier-targets.cmake)
foreach(folder IN LISTS exported_folders)
  install(DIRECTORY ${folder}/ DESTINATION include/atelier/${folder} FILES_MATCHING PATTERN "*.h")
endforeach()
configure_file(launch/setup/cmake/atelier-config.cmake.in "${CMAKE_BINARY_DIR}/atelier-config.cmake" @ONLY)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/atelier-config-version.cmake" COMPATIBILITY ExactVersion)
install(FILES "${CMAKE_BINARY_DIR}/atelier-config.cmake" "${CMAKE_BINARY_DIR}/atelier-config-version.cmake"
              launch/setup/cmake/nvidia_targets.cmake launch/setup/cmake/torch_targets.cmake DESTINATION ${package_folder})
