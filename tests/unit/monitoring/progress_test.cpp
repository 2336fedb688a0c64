#include "monitoring/progress.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace atelier::monitoring {
namespace {

using namespace std::chrono_literals;

const Progress kSome{120, 3000, 1890.4, {{"G", 0.69314}, {"D", 1.386}}, 91};

/// What a printer wrote, through a real file.
std::string printed(const ProgressOptions& options, auto use) {
  std::FILE* out = std::tmpfile();
  const test::FakeClock clock;
  ProgressPrinter printer(out, options, clock);
  use(printer, clock);
  std::string content(static_cast<std::size_t>(std::ftell(out)), '\0');
  std::rewind(out);
  EXPECT_EQ(std::fread(content.data(), 1, content.size(), out), content.size());
  std::fclose(out);
  return content;
}

TEST(FormatProgress, shows_position_time_rate_and_losses) {
  EXPECT_EQ(format_progress(kSome, 200),
            "step 120/3000 4% | 1 min 31 s left | 1,890 images/s | G 0.693 D 1.39");
}

TEST(FormatProgress, never_exceeds_the_width) {
  for (std::size_t width = 1; width < 100; ++width) {
    EXPECT_LE(format_progress(kSome, width).size(), width);
  }
  EXPECT_EQ(format_progress(kSome, 60), "step 120/3000 4% | 1 min 31 s left | 1,890 images/s");
  EXPECT_EQ(format_progress(kSome, 8), "step 120");
}

TEST(FormatProgress, survives_what_is_not_finite_or_not_known) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();

  EXPECT_EQ(format_progress({0, 0, kNan, {{"G", kNan}, {"D", -kInfinity}}, kInfinity}, 200),
            "step 0/0 | ? left | ? images/s | G nan D -inf");
  EXPECT_EQ(format_progress({5, 3, 1e300, {{"E", 1e300}, {"F", 1e-9}}, -1}, 200),
            "step 5/3 100% | ? left | ? images/s | E 1.00e+300 F 1.00e-09");
}

TEST(ProgressPrinter, pipe_gets_a_plain_line_now_and_then) {
  const std::string out = printed({}, [](ProgressPrinter& printer, const Clock& clock) {
    for (int i = 0; i < 100; ++i) {  // 20 s
      printer.update(kSome);
      clock.sleep_for(200ms);
    }
    printer.clear();
    printer.finish(kSome);
  });

  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 3);
  EXPECT_EQ(out.find_first_of("\r\x1b"), std::string::npos);
}

TEST(ProgressPrinter, terminal_line_is_rewritten) {
  const ProgressOptions options{.terminal = true, .width = 40, .every = 100ms};
  const std::string out = printed(options, [](ProgressPrinter& printer, const Clock& clock) {
    printer.update(kSome);
    printer.update(kSome);  // too early
    clock.sleep_for(100ms);
    printer.finish(kSome);
  });

  const std::string line = "\r\x1b[Kstep 120/3000 4% | 1 min 31 s left";
  EXPECT_EQ(out, line + line + "\n");
}

}  // namespace
}  // namespace atelier::monitoring
