// Errors of the whole system. Environment and input raise one of the types below; a broken
// promise between two pieces of our own code raises InternalError through ATELIER_CHECK.
// Each message says what was attempted, on what, what was found, and what to do next; each type
// carries the exit code that `main` hands to the shell. Thread safety: values.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace atelier {

/// Exit codes of every program of the project (mpirun hands on the first failing rank's).
enum class ExitCode : int {
  kDone = 0,
  kUsage = 2,          ///< command line or configuration
  kBadData = 65,       ///< dataset or checkpoint damaged
  kInternal = 70,      ///< a defect of ours, or a device that failed
  kCannotCreate = 73,  ///< output exists or cannot be created
  kIo = 74,            ///< reading or writing failed
  kStopped = 75,       ///< asked to stop; state was saved; resume to go on
  kPeerLost = 76,      ///< another rank is gone or hangs; resume to go on
  kDiverged = 77,      ///< training diverged and the budget for reactions is spent
  kRefused = 78,       ///< what was asked cannot be done safely here
};

/// Base of all errors. `what()` is "<problem> <next step>".
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, std::string_view problem, std::string_view next_step);
  [[nodiscard]] ExitCode exit_code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// Defines an error type with its exit code; `next_step` says what the reader can do.
// NOLINTBEGIN(bugprone-macro-parentheses): a class cannot be named in parentheses
#define ATELIER_ERROR_TYPE(Name, code)                                       \
  class Name : public Error {                                                \
   public:                                                                   \
    explicit Name(std::string_view problem, std::string_view next_step = "") \
        : Error(code, problem, next_step) {}                                 \
  }
// NOLINTEND(bugprone-macro-parentheses)

ATELIER_ERROR_TYPE(ConfigError, ExitCode::kUsage);
ATELIER_ERROR_TYPE(DataError, ExitCode::kBadData);
ATELIER_ERROR_TYPE(CheckpointError, ExitCode::kBadData);
ATELIER_ERROR_TYPE(OutputError, ExitCode::kCannotCreate);
ATELIER_ERROR_TYPE(IoError, ExitCode::kIo);
ATELIER_ERROR_TYPE(CommError, ExitCode::kPeerLost);
ATELIER_ERROR_TYPE(DeviceError, ExitCode::kInternal);
ATELIER_ERROR_TYPE(DivergedError, ExitCode::kDiverged);
ATELIER_ERROR_TYPE(RefusedError, ExitCode::kRefused);
ATELIER_ERROR_TYPE(InternalError, ExitCode::kInternal);
#undef ATELIER_ERROR_TYPE

/// Throws InternalError naming the condition and where it stands.
[[noreturn]] void fail_check(const char* condition, std::string_view message,
                             const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace atelier

/// A promise between two pieces of our own code; always on. `message` is built only on failure.
#define ATELIER_CHECK(condition, message)           \
  do {                                              \
    if (!(condition)) [[unlikely]] {                \
      ::atelier::fail_check(#condition, (message)); \
    }                                               \
  } while (false)
