# Build options and the INTERFACE target every target of the project links.
include_guard()

option(ATELIER_BUILD_TESTS "Build the tests" ON)
option(ATELIER_WITH_TORCH "Build trainer/ and the program atelier (needs LibTorch)" ON)
option(ATELIER_WERROR "Treat warnings as errors" OFF)
set(ATELIER_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_BUILD_RPATH "${CMAKE_BINARY_DIR}")  # where libraries lie that programs load by name
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(ATELIER_CCACHE ccache)
if(ATELIER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # A precompiled header is compared by what went into it, not by its clock; a second checkout finds what the first one built.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND};-E;env;CCACHE_BASEDIR=${CMAKE_SOURCE_DIR};CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime;${ATELIER_CCACHE}")
endif()

add_library(atelier_options INTERFACE)
target_include_directories(atelier_options INTERFACE "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>"
                                                     "$<INSTALL_INTERFACE:include/atelier>")
target_compile_features(atelier_options INTERFACE cxx_std_20)
# -ffp-contract=off: the same source gives the same bits whether or not the compiler could fuse a multiply-add.
target_compile_options(atelier_options INTERFACE
  $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wconversion;-Wnon-virtual-dtor;-Woverloaded-virtual;-ffp-contract=off>>
  # -Wrestrict has false alarms, GCC bug 105651.
  $<BUILD_INTERFACE:$<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>>
  $<BUILD_INTERFACE:$<$<AND:$<BOOL:${ATELIER_WERROR}>,$<COMPILE_LANGUAGE:CXX>>:-Werror>>)
find_package(Threads REQUIRED)
target_link_libraries(atelier_options INTERFACE Threads::Threads)
if(ATELIER_SANITIZE)
  target_compile_options(atelier_options INTERFACE -fsanitize=${ATELIER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(atelier_options INTERFACE -fsanitize=${ATELIER_SANITIZE})
endif()
