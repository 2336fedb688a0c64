# One line per library and per test; what every target shares stands here.
# The forms with `torch` are the same, compiled against LibTorch with the one precompiled header.
include_guard()

# atelier_library(<folder name> SOURCES ... [LINKS PUBLIC ... PRIVATE ...]): static library atelier_<name>, alias atelier::<name>.
function(atelier_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS")
  add_library(atelier_${name} STATIC ${arg_SOURCES})
  add_library(atelier::${name} ALIAS atelier_${name})
  set_target_properties(atelier_${name} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(atelier_${name} PUBLIC atelier_options)
  if(arg_LINKS)
    target_link_libraries(atelier_${name} ${arg_LINKS})
  endif()
endfunction()

function(atelier_torch_library name)
  atelier_library(${name} ${ARGN})
  target_link_libraries(atelier_${name} PUBLIC atelier_torch)
  target_precompile_headers(atelier_${name} REUSE_FROM atelier_torch_pch)
endfunction()

# A program compiled against LibTorch.
function(atelier_torch_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE atelier_options atelier_torch ${arg_LINKS})
  target_precompile_headers(${name} REUSE_FROM atelier_torch_pch)
endfunction()

# atelier_test_program(<name> [TORCH] SOURCES ... LINKS ...): a GoogleTest program; its main is among SOURCES or LINKS.
function(atelier_test_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "" "SOURCES;LINKS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE atelier_options ${arg_LINKS} GTest::gtest GTest::gmock)
  if(arg_TORCH)
    target_link_libraries(${name} PRIVATE atelier_torch)
    target_precompile_headers(${name} REUSE_FROM atelier_torch_pch)
  endif()
endfunction()

# atelier_unit_test(<name> SOURCES ... LINKS ...): label unit, one CTest entry. Seconds suffice on an idle machine; the limit is
# for hangs and leaves room for sanitizers on a busy one.
function(atelier_unit_test name)
  atelier_test_program(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE GTest::gtest_main)
  add_test(NAME unit.${name} COMMAND ${name})
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 240)
endfunction()

function(atelier_torch_unit_test name)
  atelier_unit_test(${name} TORCH ${ARGN})
endfunction()

# atelier_mpi_test(<name> SOURCES ... LINKS ... RANKS 1 2 3 [TIMEOUT s] [LABELS mpi ...]): one CTest entry per world size under mpirun. The
# program's main comes from tests/support/mpi_main.cpp, which checks the world size it was registered for.
function(atelier_mpi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "TIMEOUT" "SOURCES;LINKS;RANKS;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 240)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS mpi)
  endif()
  if(arg_TORCH)
    set(torch TORCH)
  endif()
  atelier_test_program(${name} ${torch} SOURCES ${arg_SOURCES} ${CMAKE_SOURCE_DIR}/tests/support/mpi_main.cpp ${CMAKE_SOURCE_DIR}/tests/support/mpi_tests.cpp
                       LINKS ${arg_LINKS} atelier_mpi_c)
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME mpi.${name}.${ranks} COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none -n ${ranks}
             $<TARGET_FILE:${name}> --world ${ranks})
    set_tests_properties(mpi.${name}.${ranks} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} PROCESSORS 2
      ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;ASAN_OPTIONS=detect_leaks=0")
  endforeach()
endfunction()

function(atelier_torch_mpi_test name)
  atelier_mpi_test(${name} TORCH ${ARGN})
endfunction()

# atelier_gpu_test(<name> SOURCES ... LINKS ... [RANKS 1 2] [TIMEOUT s]): label gpu, on real devices; one CTest entry alone, or one per
# world size under mpirun. The program's main comes from tests/support/gpu_main.cpp: without CUDA or a device it says why and ends with 78,
# which CTest tells as skipped. launch/gpu_check takes whatever has this label to machines with GPUs.
function(atelier_gpu_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "TIMEOUT" "SOURCES;LINKS;RANKS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(arg_TORCH)
    set(torch TORCH)
  endif()
  atelier_test_program(${name} ${torch} SOURCES ${arg_SOURCES} LINKS ${arg_LINKS} atelier_gpu_main)
  if(arg_RANKS)
    foreach(ranks IN LISTS arg_RANKS)
      add_test(NAME gpu.${name}.${ranks} COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none -n ${ranks}
               $<TARGET_FILE:${name}> --world ${ranks})
      list(APPEND tests gpu.${name}.${ranks})
    endforeach()
  else()
    add_test(NAME gpu.${name} COMMAND ${name})
    set(tests gpu.${name})
  endif()
  set_tests_properties(${tests} PROPERTIES LABELS gpu TIMEOUT ${arg_TIMEOUT} RUN_SERIAL ON SKIP_RETURN_CODE 78
    ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;ASAN_OPTIONS=detect_leaks=0")
endfunction()

function(atelier_torch_gpu_test name)
  atelier_gpu_test(${name} TORCH ${ARGN})
endfunction()
