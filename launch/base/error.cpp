#include "launch/base/error.h"

#include "launch/base/text.h"

namespace atelier {
namespace {

std::string joined(std::string_view problem, std::string_view next_step) {
  return next_step.empty() ? std::string(problem) : text(problem, " ", next_step);
}

}  // namespace

Error::Error(ExitCode code, std::string_view problem, std::string_view next_step)
    : std::runtime_error(joined(problem, next_step)), code_(code) {}

void fail_check(const char* condition, std::string_view message, const char* file, int line) {
  throw InternalError(
      text("Internal check failed: ", condition, " (", message, ") at ", file, ":", line, "."),
      "This is a defect; please report it with this line.");
}

}  // namespace atelier
