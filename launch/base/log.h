// Messages for people. A Log takes whole lines; format them with text(). ProcessLog writes them
// to the terminal (standard error) and to a file, with time, level and rank, through spdlog. The
// header knows no spdlog, so that files which include torch can log (torch ships its own fmt).
// Thread safety: every method of every Log may be called from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "launch/base/file_system.h"

namespace atelier {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

class Log {
 public:
  virtual ~Log() = default;
  void debug(std::string_view line) { count_and_write(LogLevel::kDebug, line); }
  void info(std::string_view line) { count_and_write(LogLevel::kInfo, line); }
  void warn(std::string_view line) { count_and_write(LogLevel::kWarning, line); }
  void error(std::string_view line) { count_and_write(LogLevel::kError, line); }
  /// Lines so far, for atelier_log_messages_total.
  [[nodiscard]] std::uint64_t count(LogLevel level) const;

 protected:
  virtual void write(LogLevel level, std::string_view line) = 0;

 private:
  void count_and_write(LogLevel level, std::string_view line);
  std::array<std::atomic<std::uint64_t>, 4> counts_{};
};

/// Drops every line.
class NullLog final : public Log {
  void write(LogLevel /*level*/, std::string_view /*line*/) override {}
};

struct ProcessLogOptions {
  int rank = 0;
  int world = 1;
  LogLevel terminal_level = LogLevel::kInfo;  ///< below it a line goes to the file alone
  Path file;                                  ///< empty: terminal only; appended to
};

/// Standard error and, when named, a file. With more than one rank each line carries "[rank]".
/// Throws: IoError when the file cannot be opened.
class ProcessLog final : public Log {
 public:
  explicit ProcessLog(const ProcessLogOptions& options);
  ~ProcessLog() override;
  ProcessLog(const ProcessLog&) = delete;
  ProcessLog& operator=(const ProcessLog&) = delete;
  /// Adds the file once the run folder exists. Throws: IoError.
  void open_file(const Path& file);
  /// An error for the files alone, where the terminal is told in another way.
  void error_to_files(std::string_view line);

 private:
  void write(LogLevel level, std::string_view line) override;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace atelier
