#include "monitoring/progress.h"

#include <algorithm>
#include <cmath>

#include <sys/ioctl.h>
#include <unistd.h>

#include "launch/base/text.h"

namespace atelier::monitoring {
namespace {

constexpr std::size_t kPlainWidth = 200;
constexpr const char* kClearLine = "\r\x1b[K";

std::string three_digits(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const double size = std::abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.2e", value);
    return buffer;
  }
  return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

std::string rate(double per_second) {
  // llround of what does not fit is undefined.
  if (!std::isfinite(per_second) || std::abs(per_second) > 1e15) return "?";
  return human_count(std::llround(per_second));
}

std::string position(const Progress& progress) {
  std::string out = text("step ", progress.step, "/", progress.target_steps);
  if (progress.target_steps > 0) {
    const double share =
        static_cast<double>(progress.step) / static_cast<double>(progress.target_steps);
    out += text(" ", static_cast<int>(100 * std::clamp(share, 0.0, 1.0)), "%");
  }
  return out;
}

std::size_t terminal_width(std::FILE* out) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string format_progress(const Progress& progress, std::size_t width) {
  std::string losses;
  for (const NamedLoss& loss : progress.losses) {
    if (!losses.empty()) losses += ' ';
    losses += loss.name + ' ' + three_digits(loss.value);
  }
  std::string out = position(progress);
  // Most wanted first: a narrow terminal loses the losses before it loses the time left.
  const std::string parts[] = {human_seconds(progress.seconds_left) + " left",
                               rate(progress.images_per_second) + " images/s", losses};
  constexpr std::string_view kBetween = " | ";
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    if (out.size() + kBetween.size() + part.size() > width) break;
    out += std::string(kBetween) + part;
  }
  return out.substr(0, width);
}

ProgressOptions progress_options(std::FILE* out) {
  if (isatty(fileno(out)) == 0) return {};
  return {.terminal = true, .width = 0, .every = std::chrono::milliseconds(100)};
}

ProgressPrinter::ProgressPrinter(std::FILE* out, ProgressOptions options, const Clock& clock)
    : out_(out), options_(options), clock_(clock) {}

bool ProgressPrinter::is_due() const { return !last_ || clock_.now() - *last_ >= options_.every; }

void ProgressPrinter::update(const Progress& progress) {
  if (!is_due()) return;
  last_ = clock_.now();
  draw(progress);
}

void ProgressPrinter::finish(const Progress& progress) {
  draw(progress);
  if (options_.terminal) std::fputc('\n', out_);
  std::fflush(out_);
}

void ProgressPrinter::clear() {
  if (!options_.terminal) return;
  std::fputs(kClearLine, out_);
  std::fflush(out_);
  last_.reset();
}

void ProgressPrinter::draw(const Progress& progress) {
  std::size_t width = options_.width;
  if (width == 0) width = options_.terminal ? terminal_width(out_) : kPlainWidth;
  const std::string line = format_progress(progress, width);
  // The last column stays free on terminals that wrap as soon as it is filled.
  if (options_.terminal) {
    std::fputs(kClearLine, out_);
    std::fputs(line.substr(0, width - 1).c_str(), out_);
  } else {
    std::fputs((line + '\n').c_str(), out_);
  }
  std::fflush(out_);
}

}  // namespace atelier::monitoring
