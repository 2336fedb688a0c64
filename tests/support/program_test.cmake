# atelier_program_test(<name> LABEL fault|golden|nccl|gpu PROCESSORS n [PROGRAM target]): a Python file NAME_test.py that drives the built program through
# program.py, as the CTest entry LABEL.program.NAME.
include_guard()

function(atelier_program_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;PROCESSORS;PROGRAM" "")
  if(NOT arg_PROGRAM)
    set(arg_PROGRAM atelier)
  endif()
  add_test(NAME ${arg_LABEL}.program.${name} COMMAND ${Python3_EXECUTABLE} "${CMAKE_CURRENT_SOURCE_DIR}/${name}_test.py"
           $<TARGET_FILE:${arg_PROGRAM}> ${MPIEXEC_EXECUTABLE})
  # A skipped test is told as skipped, never as passed.
  set_tests_properties(${arg_LABEL}.program.${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT 600 PROCESSORS ${arg_PROCESSORS}
    SKIP_REGULAR_EXPRESSION "OK \\(skipped=[1-9]"
    ENVIRONMENT "PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support;PYTHONDONTWRITEBYTECODE=1")
endfunction()
