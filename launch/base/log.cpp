#include "launch/base/log.h"

#include <utility>

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

std::uint64_t Log::count(LogLevel level) const {
  return counts_.at(static_cast<std::size_t>(level)).load(std::memory_order_relaxed);
}

void Log::count_and_write(LogLevel level, std::string_view line) {
  counts_.at(static_cast<std::size_t>(level)).fetch_add(1, std::memory_order_relaxed);
  write(level, line);
}

struct ProcessLog::Impl {
  explicit Impl(std::string rank_prefix)
      : prefix(std::move(rank_prefix)),
        outputs(std::make_shared<spdlog::sinks::dist_sink_mt>()),
        logger("atelier", outputs) {}
  std::string prefix;
  std::shared_ptr<spdlog::sinks::dist_sink_mt> outputs;  // may grow while others write
  spdlog::logger logger;
};

ProcessLog::ProcessLog(const ProcessLogOptions& options)
    : impl_(std::make_unique<Impl>(options.world > 1 ? text("[", options.rank, "] ") : "")) {
  auto terminal = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  terminal->set_level(spdlog_level(options.terminal_level));
  terminal->set_pattern("%H:%M:%S %^%L%$ " + impl_->prefix + "%v");
  impl_->outputs->add_sink(std::move(terminal));
  impl_->logger.set_level(spdlog::level::debug);
  impl_->logger.flush_on(spdlog::level::info);
  if (!options.file.empty()) open_file(options.file);
}

ProcessLog::~ProcessLog() = default;

void ProcessLog::open_file(const Path& file) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l " + impl_->prefix + "%v");
    impl_->outputs->add_sink(std::move(sink));
  } catch (const spdlog::spdlog_ex& problem) {
    throw IoError(text("Cannot open the log file '", file.string(), "': ", problem.what(), "."),
                  "Check the folder and its permissions.");
  }
}

void ProcessLog::error_to_files(std::string_view line) {
  const auto& sinks = impl_->outputs->sinks();
  for (std::size_t i = 1; i < sinks.size(); ++i) {  // the terminal is the first
    sinks[i]->log({"atelier", spdlog::level::err, spdlog::string_view_t(line.data(), line.size())});
    sinks[i]->flush();
  }
}

void ProcessLog::write(LogLevel level, std::string_view line) {
  impl_->logger.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace atelier
