# Run by every build: writes FILE, a source with the commit of SOURCE, and touches it only when the commit changed.
set(commit "unknown")
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(NOT failed)
  set(commit "${found}")
endif()
file(CONFIGURE OUTPUT "${FILE}" CONTENT [[#include "trainer/app/commit.h"

namespace atelier::app {

std::string build_commit() { return "@commit@"; }

}  // namespace atelier::app
]] @ONLY)
